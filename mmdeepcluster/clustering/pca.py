"""PCA whitening of features before they are clustered."""

from __future__ import annotations

import torch
from scipy.linalg import eigh
from torch import Tensor

from mmdeepcluster.clustering.covariance import Features, mean_and_covariance
from mmdeepcluster.clustering.linear_transform import LinearTransform
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.registry import FEATURE_TRANSFORMS


@FEATURE_TRANSFORMS.register_module()
class PCAWhitening:
    """PCA, then whitening (eigenvalue power -0.5), then rows of unit length (R4).

    To skip PCA, as with 256 or fewer dimensions, a method's ``feature_transform`` is None: features
    are then scaled to unit length alone.

    Args:
        dim: Directions of largest variance that are kept. Defaults to 256 (Deep Cluster, arXiv
            1807.05520).
        whiten: Whether each direction is scaled to variance 1. Defaults to True.
        normalize: Whether rows are scaled to unit length afterwards. Defaults to True.
        eigenvalue_floor: Variances below this part of the largest are whitened as if they were
            that part, so that directions in which nothing but rounding differs stay small.
            Defaults to 1e-7, about the rounding of fp32 features.

    Raises:
        ValueError: If ``dim`` is less than 1 or ``eigenvalue_floor`` is not in (0, 1).
    """

    def __init__(
        self,
        dim: int = 256,
        whiten: bool = True,
        normalize: bool = True,
        eigenvalue_floor: float = 1e-7,
    ) -> None:
        if dim < 1:
            raise ValueError(
                f"model.feature_transform.dim must be at least 1, got {dim}; to skip PCA set "
                "model.feature_transform to None"
            )
        if not 0 < eigenvalue_floor < 1:
            raise ValueError(f"eigenvalue_floor must be between 0 and 1, got {eigenvalue_floor}")
        self.dim = dim
        self.whiten = whiten
        self.normalize = normalize
        self.eigenvalue_floor = eigenvalue_floor

    def fit(
        self,
        features: Features,
        share: RowShare | None = None,
        device: torch.device | None = None,
    ) -> LinearTransform:
        """Finds the transform; collective with a share, and then the same bits on all processes.

        Of features that are all equal, every direction is dropped: they become zeros.

        Args:
            features: Rows (n, D) of this process, a tensor or an array (also a memory map).
            share: Which rows of the whole matrix (N, D) they are. Defaults to all of them.
            device: Where tiles of them are multiplied. Defaults to where they are.

        Returns:
            The transform, on that device. The sign of a direction is that which
            makes its largest component positive.

        Raises:
            ValueError: If ``dim`` exceeds D or is not less than N, or a row holds NaN or infinity.
        """
        share = RowShare(len(features)) if share is None else share
        self._check(share.num_rows, features.shape[-1])
        mean, covariance = mean_and_covariance(features, share, device)
        packed = torch.zeros(self.dim, features.shape[1] + 1, dtype=torch.float64)
        if share.rank == 0:
            packed = _principal(covariance, self.dim)
        # Solvers need not agree to the last bit on other machines.
        packed = share.broadcast(packed.to(covariance.device))
        variance, directions = packed[:, 0].clamp_min(0), packed[:, 1:]
        if self.whiten:
            floored = variance.clamp_min(self.eigenvalue_floor * float(variance[0]))
            scale = torch.where(floored > 0, floored, torch.inf).rsqrt()
            directions = directions * scale[:, None]
        return LinearTransform(
            mean=mean.float(),
            projection=directions.T.float().contiguous(),
            normalize=self.normalize,
            explained_variance=variance.float(),
        )

    def _check(self, num_rows: int, feature_dim: int) -> None:
        if self.dim > feature_dim:
            raise ValueError(
                f"model.feature_transform.dim is {self.dim}, but features have {feature_dim} "
                f"dimensions: lower it to {feature_dim}, or set model.feature_transform to None"
            )
        if self.dim >= num_rows:
            raise ValueError(
                f"model.feature_transform.dim is {self.dim}, but {num_rows} samples spread in "
                f"{max(0, num_rows - 1)} directions at most: lower it below {num_rows}, or give "
                "more images"
            )


def _principal(covariance: Tensor, dim: int) -> Tensor:
    """Variance and direction (dim, 1 + D) of the largest eigenvalues, the largest first, fp64."""
    size = len(covariance)
    # On the CPU also for a GPU: only the wanted part is solved for, half the time of all.
    values, vectors = eigh(covariance.cpu().numpy(), subset_by_index=(size - dim, size - 1))
    variance = torch.from_numpy(values).flip(0)
    directions = torch.from_numpy(vectors).flip(1).T
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return torch.cat([variance[:, None], directions * largest.sign()], dim=1)
