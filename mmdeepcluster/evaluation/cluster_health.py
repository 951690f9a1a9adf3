"""Sizes of clusters and spread of features: what can be said without labels (R28, R69)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


@dataclass(frozen=True)
class ClusterHealth:
    """Sizes of K clusters.

    Attributes:
        counts: Size of each cluster, int64 (K,).
    """

    counts: NDArray[np.int64]

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def num_empty(self) -> int:
        """Clusters without a member."""
        return int((self.counts == 0).sum())

    @property
    def min_size(self) -> int:
        """Size of the smallest cluster."""
        return int(self.counts.min())

    @property
    def max_size(self) -> int:
        """Size of the largest cluster."""
        return int(self.counts.max())

    @property
    def largest_share(self) -> float:
        """Share of all samples in the largest cluster, 0..1."""
        return self.max_size / int(self.counts.sum())

    @property
    def effective_clusters(self) -> float:
        """exp(H) of the distribution of sizes: K when they are equal, 1 when there is one."""
        shares = self.counts[self.counts > 0] / self.counts.sum()
        return float(np.exp(-(shares * np.log(shares)).sum()))

    def histogram(self, num_bins: int = 10) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Number of clusters by size: counts (num_bins,) and edges (num_bins + 1,)."""
        heights, edges = np.histogram(self.counts, bins=num_bins)
        return heights.astype(np.int64), edges.astype(np.float64)

    def as_dict(self) -> dict[str, float]:
        """The figures by name, for a log."""
        return {
            "num_empty": self.num_empty,
            "min_size": self.min_size,
            "max_size": self.max_size,
            "largest_share": self.largest_share,
            "effective_clusters": self.effective_clusters,
        }


def cluster_health(counts: ArrayLike) -> ClusterHealth:
    """Looks at the sizes (K,) of clusters.

    Raises:
        ValueError: If there is no cluster, a size is negative, or all are empty.
    """
    sizes = np.asarray(counts, dtype=np.int64)
    if sizes.ndim != 1 or sizes.size == 0 or sizes.min() < 0 or sizes.sum() == 0:
        raise ValueError(f"counts must be sizes (K,) of clusters, not all empty, got {sizes}")
    return ClusterHealth(sizes)


def _sample(features: Tensor, max_rows: int, seed: int) -> Tensor:
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"features must be (N, D) with rows, got {tuple(features.shape)}")
    if len(features) > max_rows:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(features), generator=generator)[:max_rows]
        features = features[rows.to(features.device)]
    if not bool(torch.isfinite(features).all()):
        raise ValueError("features hold NaN or infinity")
    return features.float()


def rank_me(features: Tensor, max_rows: int = 4096, seed: int = 0) -> float:
    """Effective rank of features (N, D): exp of the entropy of their singular values.

    Source: RankMe, Garrido et al., arXiv 2210.02885, Eq. 1; with its epsilon of 1e-7.

    Args:
        features: Matrix (N, D).
        max_rows: A larger matrix is measured on a seeded sample of rows.
        seed: Seed of the sample.

    Returns:
        Between 1 (all rows on a line) and min(N, D); 0 if all rows are zero.

    Raises:
        ValueError: If the matrix is empty or holds NaN or infinity.
    """
    values = torch.linalg.svdvals(_sample(features, max_rows, seed).double())
    if float(values.sum()) == 0:
        return 0.0
    shares = values / values.sum() + 1e-7
    return float(torch.exp(-(shares * shares.log()).sum()))


def feature_spread(features: Tensor, max_rows: int = 4096, seed: int = 0) -> float:
    """Standard deviation of unit rows per dimension, times sqrt(D).

    About 1 when directions are spread evenly, 0 when all features are equal.

    Raises:
        ValueError: If the matrix is empty or holds NaN or infinity.
    """
    rows = _sample(features, max_rows, seed)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-10)
    return float(rows.std(dim=0, unbiased=False).mean()) * rows.shape[1] ** 0.5


def num_zero_rows(features: Tensor) -> int:
    """Rows of (N, D) that are all zero: samples whose feature has no direction."""
    return int((features == 0).all(dim=1).sum())
