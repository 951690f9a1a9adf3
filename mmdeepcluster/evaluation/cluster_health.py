"""Sizes of clusters and spread of features: quality that needs no labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.clustering.functional import check_features

# Added to the normalised singular values, eq. (1) of RankMe; the value for fp32 given there.
_RANK_ME_EPS = 1e-7


@dataclass(frozen=True)
class ClusterHealth:
    """Statistics of the sizes of K clusters (R28).

    Attributes:
        num_samples: Samples in all clusters.
        num_clusters: K, empty clusters included.
        num_empty: Clusters without a sample.
        min_size: Samples of the smallest cluster, 0 where one is empty.
        max_size: Samples of the largest cluster.
        largest_share: Share of all samples that the largest cluster holds, 0 to 1.
        effective_clusters: Exponential of the entropy of the sizes: K for equal sizes, 1 for a
            single cluster.
        counts: Sizes (K,).
    """

    num_samples: int
    num_clusters: int
    num_empty: int
    min_size: int
    max_size: int
    largest_share: float
    effective_clusters: float
    counts: NDArray[np.int64] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, float]:
        """The statistics to log, by name."""
        names = ("num_empty", "min_size", "max_size", "largest_share", "effective_clusters")
        return {name: getattr(self, name) for name in names}

    def histogram(self, num_bins: int = 10) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Number of clusters by size.

        Args:
            num_bins: Ranges of equal width from the smallest to the largest size.

        Returns:
            Clusters in each range (num_bins,), and the limits of the ranges (num_bins + 1,).
        """
        numbers, limits = np.histogram(self.counts, bins=num_bins)
        return numbers.astype(np.int64), limits.astype(np.float64)


def cluster_health(counts: ArrayLike) -> ClusterHealth:
    """Describes the sizes of clusters.

    Args:
        counts: Samples in each cluster (K,), whole numbers.

    Returns:
        The statistics.

    Raises:
        ValueError: If there is no cluster or no sample, or a count is negative or not whole.
    """
    array = np.asarray(counts)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"counts must be one number per cluster (K,), got shape {array.shape}")
    sizes = array.astype(np.int64)
    if (sizes != array).any() or (sizes < 0).any():
        raise ValueError(
            f"counts must be whole numbers >= 0, got values from {array.min()} to {array.max()}"
        )
    total = int(sizes.sum())
    if total == 0:
        raise ValueError(f"counts hold no sample in any of {len(sizes)} clusters")
    shares = sizes[sizes > 0] / total
    return ClusterHealth(
        num_samples=total,
        num_clusters=len(sizes),
        num_empty=int((sizes == 0).sum()),
        min_size=int(sizes.min()),
        max_size=int(sizes.max()),
        largest_share=float(shares.max()),
        effective_clusters=float(np.exp(-(shares * np.log(shares)).sum())),
        counts=sizes,
    )


def rank_me(features: Tensor, max_rows: int = 4096, seed: int = 0) -> float:
    """Effective rank of features, RankMe [0]: exp of the entropy of the singular values (R69).

    - [0]: Garrido et al., RankMe, ICML 2023, arXiv 2210.02885, eq. (1) and (2).

    Args:
        features: Features (N, D).
        max_rows: A larger set is measured on a seeded subset of this many rows.
        seed: Seed of the subset.

    Returns:
        1 (all rows are parallel) to min(N, max_rows, D); 0 where every row is zero.

    Raises:
        ValueError: If ``features`` is no matrix, holds NaN or infinity, or ``max_rows`` < 1.
    """
    check_features(features)
    if max_rows < 1:
        raise ValueError(f"max_rows must be >= 1, got {max_rows}")
    if len(features) > max_rows:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(features), generator=generator)[:max_rows].sort().values
        features = features[rows.to(features.device)]
    values = torch.linalg.svdvals(features.float()).double()
    total = float(values.sum())
    if total == 0.0:
        return 0.0
    shares = values / total + _RANK_ME_EPS
    return float(torch.exp(-(shares * shares.log()).sum()))


def feature_spread(features: Tensor) -> float:
    """Mean standard deviation of the dimensions of unit-length rows, times sqrt(D).

    Free of scale and of D, because isotropic unit vectors have a deviation of 1/sqrt(D).

    Args:
        features: Features (N, D).

    Returns:
        About 1 for isotropic features, 0 where all rows point the same way.

    Raises:
        ValueError: If ``features`` is no matrix, or holds NaN or infinity.
    """
    check_features(features)
    deviations = l2_normalize(features).std(dim=0, correction=0)
    return float(deviations.mean()) * features.shape[1] ** 0.5


def num_zero_rows(features: Tensor) -> int:
    """Rows of (N, D) that are zero throughout, as a dead ReLU leaves them.

    Raises:
        ValueError: If ``features`` is no matrix, or holds NaN or infinity.
    """
    check_features(features)
    return int((features == 0).all(dim=1).sum())
