"""Deterministic split of a set of features in two, used wherever a cluster must be divided."""

from __future__ import annotations

import torch
from torch import Tensor


def two_means(
    features: Tensor, generator: torch.Generator, min_size: int = 1, max_iters: int = 20
) -> Tensor:
    """Splits rows in two by 2-means, neither part smaller than ``min_size``.

    Starts from the direction in which the rows spread most (power iteration from a fixed start),
    so the same rows give the same split. The boundary is moved along the line between the two
    means when one part would be too small. Rows that are all equal are split at random in two
    halves (ODC, arXiv 2006.10645, section 3.2).

    Args:
        features: Rows (M, D), M at least 2.
        generator: CPU generator, used for equal rows alone.
        min_size: Smallest size of either part.
        max_iters: Most iterations of 2-means.

    Returns:
        Mask (M,), true for the rows of the second part; both parts are non-empty.

    Raises:
        ValueError: If M is less than ``2 * min_size``.
    """
    num_rows = len(features)
    if min_size < 1 or num_rows < 2 * min_size:
        raise ValueError(
            f"cannot split {num_rows} rows into two parts of at least {min_size} rows each"
        )
    # fp64: the decision must not depend on the order in which a BLAS sums.
    centered = features.double() - features.double().mean(dim=0)
    if not bool(centered.abs().amax() > 1e-7):
        order = torch.randperm(num_rows, generator=generator).to(features.device)
        return order < num_rows // 2
    side = centered @ _main_direction(centered) > 0
    for _ in range(max_iters):
        direction, threshold = _boundary(centered, side)
        moved = _cut(centered @ direction, threshold, min_size)
        if torch.equal(moved, side):
            break
        side = moved
    return side


def _main_direction(centered: Tensor, num_steps: int = 8) -> Tensor:
    """First principal direction (D,), approximately, from the row farthest from the mean."""
    direction = centered[centered.square().sum(dim=1).argmax()]
    for _ in range(num_steps):
        direction = direction / direction.norm().clamp_min(1e-30)
        direction = centered.T @ (centered @ direction)
    return direction / direction.norm().clamp_min(1e-30)


def _boundary(centered: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Direction between the two means and the projection of their midpoint."""
    first, second = centered[~side], centered[side]
    mean_first = first.mean(dim=0) if len(first) else centered.new_zeros(centered.shape[1])
    mean_second = second.mean(dim=0) if len(second) else centered.new_zeros(centered.shape[1])
    direction = mean_second - mean_first
    return direction, direction @ (mean_first + mean_second) / 2


def _cut(projection: Tensor, threshold: Tensor, min_size: int) -> Tensor:
    """Rows beyond the threshold, moved as little as needed for both parts to be large enough."""
    beyond = projection > threshold
    size = min(max(int(beyond.sum()), min_size), len(projection) - min_size)
    if size == int(beyond.sum()):
        return beyond
    order = projection.sort(descending=True, stable=True).indices
    side = torch.zeros_like(beyond)
    side[order[:size]] = True
    return side
