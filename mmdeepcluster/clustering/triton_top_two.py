"""Lowest two scores of each row in one kernel, for CUDA; scores are never written.

Imported where features are on a CUDA device and triton is installed, and nowhere else.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _CENTROIDS, _DEPTH = 128, 128, 64


@triton.jit
def _top_two(  # type: ignore[no-untyped-def]
    rows,
    centroids,
    index,
    low,
    second,
    num_rows,
    num_centroids,
    width,
    row_stride,
    centroid_stride,
    ROWS: tl.constexpr,  # noqa: N803
    CENTROIDS: tl.constexpr,  # noqa: N803
    DEPTH: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    best = tl.full((ROWS,), float("inf"), tl.float32)
    next_best = tl.full((ROWS,), float("inf"), tl.float32)
    winner = tl.zeros((ROWS,), tl.int32)
    for start in range(0, num_centroids, CENTROIDS):
        column = start + tl.arange(0, CENTROIDS)
        scores = tl.zeros((ROWS, CENTROIDS), tl.float32)
        for depth in range(0, width, DEPTH):
            inner = depth + tl.arange(0, DEPTH)
            left = tl.load(
                rows + row[:, None] * row_stride + inner[None, :],
                mask=(row[:, None] < num_rows) & (inner[None, :] < width),
                other=0.0,
            )
            right = tl.load(
                centroids + column[None, :] * centroid_stride + inner[:, None],
                mask=(column[None, :] < num_centroids) & (inner[:, None] < width),
                other=0.0,
            )
            scores = tl.dot(left, right, scores)
        scores = tl.where(column[None, :] < num_centroids, scores, float("inf"))
        tile_best, tile_winner = tl.min(scores, axis=1, return_indices=True)
        # The winner is taken out once: an equal score elsewhere stays as the second.
        others = tl.where(column[None, :] == start + tile_winner[:, None], float("inf"), scores)
        tile_next = tl.min(others, axis=1)
        next_best = tl.minimum(tl.maximum(best, tile_best), tl.minimum(next_best, tile_next))
        winner = tl.where(tile_best < best, start + tile_winner, winner)
        best = tl.minimum(best, tile_best)
    inside = row < num_rows
    tl.store(index + row, winner, mask=inside)
    tl.store(low + row, best, mask=inside)
    tl.store(second + row, next_best, mask=inside)


def top_two(rows: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of the centroid with the lowest product, int64 (N,), and the lowest two, fp32 (N,).

    Args:
        rows: (N, W), bf16, on a CUDA device, rows contiguous.
        centroids: (K, W), the same.

    Returns:
        The second lowest is infinity for K = 1. Sums are in fp32.
    """
    size = len(rows)
    index = torch.empty(size, dtype=torch.int32, device=rows.device)
    low = torch.empty(size, dtype=torch.float32, device=rows.device)
    second = torch.empty_like(low)
    if size:
        _top_two[(triton.cdiv(size, _ROWS),)](
            rows,
            centroids,
            index,
            low,
            second,
            size,
            len(centroids),
            rows.shape[1],
            rows.stride(0),
            centroids.stride(0),
            ROWS=_ROWS,
            CENTROIDS=_CENTROIDS,
            DEPTH=_DEPTH,
        )
    return index.long(), low, second
