"""Rows of a feature matrix that may be a tensor, an array or a file larger than memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = Tensor | NDArray[np.floating]

# 2 MiB for 256 dimensions: short against a pass over the data, long against a call.
_CPU_CHUNK_ROWS, _GPU_CHUNK_ROWS = 2048, 1 << 16


class RowSource:
    """Hands out rows in fp32, a chunk at a time; never holds a copy of the whole matrix.

    Args:
        features: Matrix (N, D) of any float type: a tensor on any device, an array, or a memory map
            (``np.load(file, mmap_mode="r")``), of which only the asked rows are read.
        name: How messages call it.

    Raises:
        ValueError: If it is not a matrix of floats with columns.
    """

    def __init__(self, features: Matrix, name: str = "features") -> None:
        if features.ndim != 2 or features.shape[1] == 0:
            raise ValueError(f"{name} must be a matrix (N, D), got {tuple(features.shape)}")
        self.mapped = isinstance(features, np.ndarray) and _is_mapped(features)
        if isinstance(features, np.ndarray) and features.flags.writeable and not self.mapped:
            features = torch.from_numpy(features)
        floats = (
            features.is_floating_point()
            if isinstance(features, Tensor)
            else features.dtype.kind == "f"
        )
        if not floats:
            raise ValueError(f"{name} must be floating point numbers, got {features.dtype}")
        self.features = features
        self.device = features.device if isinstance(features, Tensor) else torch.device("cpu")
        self.num_rows = int(features.shape[0])
        self.dim = int(features.shape[1])

    def __len__(self) -> int:
        return self.num_rows

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows ``[start, stop)`` in fp32."""
        return self._float(self.features[start:stop])

    def take(self, indices: Tensor) -> Tensor:
        """Rows at ``indices`` (M,) in fp32."""
        if isinstance(self.features, Tensor):
            return self.features.index_select(0, indices.to(self.device)).float()
        return self._float(self.features[indices.numpy()])

    def spans(self) -> Iterator[tuple[int, int]]:
        """``(start, stop)`` of the chunks in which the rows are worked on."""
        most = _CPU_CHUNK_ROWS if self.device.type == "cpu" else _GPU_CHUNK_ROWS
        for start in range(0, self.num_rows, most):
            yield start, min(start + most, self.num_rows)

    def _float(self, part: Matrix) -> Tensor:
        if isinstance(part, Tensor):
            return part.float()
        return torch.from_numpy(np.array(part, dtype=np.float32))


def _is_mapped(array: NDArray[np.floating]) -> bool:
    """Whether the numbers lie in a mapped file, also behind views."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)
