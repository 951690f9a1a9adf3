"""The linear map that features go through before they are clustered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdeepcluster.clustering.covariance import Features, device_of, full_fp32, row_tiles
from mmdeepcluster.clustering.functional import l2_normalize


@dataclass(frozen=True)
class LinearTransform:
    """``x -> (x - mean) @ projection``, then rows of unit length where ``normalize`` is set.

    ``LinearTransform()`` scales rows to unit length and does nothing else: the transform of a
    method whose ``feature_transform`` is None.

    Attributes:
        mean: Mean (D_in,) to subtract, or None.
        projection: Matrix (D_in, D), or None. Whitening is part of it.
        normalize: Whether rows are scaled to unit length; a zero row stays zero.
        explained_variance: Variance (D,) along the D directions, before whitening, where known.

    Raises:
        ValueError: If one of ``mean`` and ``projection`` is missing, or shapes disagree.
    """

    mean: Tensor | None = None
    projection: Tensor | None = None
    normalize: bool = True
    explained_variance: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mean is None or self.projection is None:
            if self.mean is not self.projection:
                raise ValueError("mean and projection must be given together")
        elif self.projection.ndim != 2 or self.mean.shape != self.projection.shape[:1]:
            raise ValueError(
                f"mean must be (D_in,) and projection (D_in, D), got {tuple(self.mean.shape)} and "
                f"{tuple(self.projection.shape)}"
            )

    def to(self, device: torch.device) -> LinearTransform:
        """The same with its tensors on a device."""
        if self.mean is None or self.projection is None:
            return self
        return replace(self, mean=self.mean.to(device), projection=self.projection.to(device))

    @torch.no_grad()
    def __call__(self, features: Features, device: torch.device | None = None) -> Tensor:
        """Transforms rows in tiles.

        A row gets the same bits in any share of whole tiles
        (:class:`mmdeepcluster.clustering.RowShare`).

        Args:
            features: Rows (N, D_in), a tensor or an array (also a memory map).
            device: Where the result goes, tile by tile. Defaults to where the features are.

        Returns:
            Rows (N, D), fp32.

        Raises:
            ValueError: If the width is wrong.
        """
        if features.ndim != 2 or (
            self.projection is not None and features.shape[1] != len(self.projection)
        ):
            width = "D" if self.projection is None else len(self.projection)
            raise ValueError(f"features must be (N, {width}), got {tuple(features.shape)}")
        width = features.shape[1] if self.projection is None else self.projection.shape[1]
        device = device or device_of(features)
        result = torch.empty(len(features), width, device=device)
        start = 0
        with full_fp32():
            for tile in row_tiles(features):
                result[start : start + len(tile)] = self._of_tile(tile.to(device))
                start += len(tile)
        return result

    def _of_tile(self, rows: Tensor) -> Tensor:
        if self.mean is not None and self.projection is not None:
            rows = (rows - self.mean.to(rows)) @ self.projection.to(rows)
        return l2_normalize(rows) if self.normalize else rows
