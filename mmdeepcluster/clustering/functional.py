"""Small tensor functions that k-means, the memories and the assigner share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Metric = Literal["l2", "dot"]
METRICS: tuple[Metric, ...] = ("l2", "dot")

# Scores of one tile stay below 64 MiB in fp32, whatever the number of rows.
_TILE_ELEMENTS = 1 << 24
# On a CPU a tile is searched while it is in cache: 10 MiB, that is 512 rows for 5120 centroids.
# Such tiles multiply as fast as the whole product, and the search costs next to nothing. Smaller
# ones gain nothing and cost when other processes use the cores: the threads meet once per tile.
_CPU_TILE_ELEMENTS = 5 << 19
_CPU_TILE_ROWS = 512
_NORM_EPS = 1e-10
_SUM_ROWS = 4096


def check_features(features: Tensor, name: str = "features") -> None:
    """Refuses a matrix that nothing sensible can be computed from.

    Args:
        features: Matrix (N, D).
        name: How the message calls it.

    Raises:
        ValueError: If it is not a matrix, is empty, or holds NaN or infinity.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must be a matrix (N, D) with rows, got {tuple(features.shape)}")
    # In tiles, so that there is no mask as long as the matrix.
    finite = torch.cat([torch.isfinite(rows).all(dim=1) for rows in features.split(_SUM_ROWS)])
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten()
        raise ValueError(
            f"{name} hold NaN or infinity in {len(bad)} of {len(features)} rows "
            f"(first: {bad[:5].tolist()}); the network has diverged or an input is broken: "
            "lower optim_wrapper.optimizer.lr or look at these samples"
        )


def check_metric(metric: str) -> Metric:
    """Returns ``metric`` if it is one of :data:`METRICS`, raises ``ValueError`` otherwise."""
    for known in METRICS:
        if metric == known:
            return known
    raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")


def l2_normalize(features: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Scales the rows of (N, D) to unit length in fp32; a zero row stays zero.

    Args:
        features: Rows (N, D).
        lengths: Their lengths (N,) where they are known. Computed by default.
    """
    features = features.float()
    lengths = features.norm(dim=1) if lengths is None else lengths
    return features / lengths.clamp_min(_NORM_EPS).unsqueeze(1)


def scores(features: Tensor, centroids: Tensor, metric: Metric) -> Tensor:
    """Similarity (N, K), larger is nearer.

    ``dot`` is the plain product. ``l2`` is ``2 x.c - |c|^2``, which orders the centroids as the
    negative squared distance does and leaves out ``|x|^2``.
    """
    if metric == "dot":
        return features @ centroids.T
    return torch.addmm(-centroids.square().sum(dim=1), features, centroids.T, alpha=2.0)


def tile_rows(num_columns: int) -> int:
    """Number of rows for which a tile of scores stays small."""
    return max(1, _TILE_ELEMENTS // max(1, num_columns))


@torch.no_grad()
def nearest_centroid(
    features: Tensor, centroids: Tensor, metric: Metric = "l2", allowed: Tensor | None = None
) -> Tensor:
    """Index of the nearest centroid of each row; ties go to the lowest index.

    Computed in fp32 and in tiles, so memory does not grow with N. NaN counts as the largest
    score, as in ``torch.argmax``; callers leave such rows out.

    Args:
        features: Rows (N, D).
        centroids: Centroids (K, D).
        metric: ``l2`` (ODC Eq. 3) or ``dot`` (the released ODC code).
        allowed: Mask (K,) of the centroids that may be chosen. Defaults to all.

    Returns:
        Cluster of each row, int64 (N,).
    """
    features, centroids = features.float(), centroids.float()
    # The scores are those of `scores`; a centroid that is not allowed scores -inf.
    if metric == "l2":
        alpha, offset = 2.0, -centroids.square().sum(dim=1)
    else:
        alpha, offset = 1.0, centroids.new_zeros(len(centroids))
    if allowed is not None:
        offset = offset.masked_fill(~allowed, -torch.inf)
    columns, rows = len(centroids), tile_rows(len(centroids))
    if features.device.type == "cpu":
        columns = min(columns, _CPU_TILE_ELEMENTS // max(1, min(len(features), _CPU_TILE_ROWS)))
        rows = _CPU_TILE_ELEMENTS // columns
    # Tiles of equal size: for a rest of a few columns BLAS may sum in another order, and a tie
    # of equal centroids would no longer be one.
    blocks = list(_equal_parts(centroids, columns))
    offsets = list(_equal_parts(offset, columns))
    scratch = features.new_empty(min(len(features), rows) * columns)
    nearest = [
        _nearest_of_rows(part, blocks, offsets, alpha, scratch)
        for part in _equal_parts(features, rows)
    ]
    return torch.cat(nearest)


def _equal_parts(tensor: Tensor, most: int) -> tuple[Tensor, ...]:
    """Parts of ``most`` rows at most whose lengths differ by one at most."""
    return tensor.tensor_split(max(1, math.ceil(len(tensor) / most)))


def _nearest_of_rows(
    rows: Tensor,
    blocks: Sequence[Tensor],
    offsets: Sequence[Tensor],
    alpha: float,
    scratch: Tensor,
) -> Tensor:
    """Column of the largest ``alpha x.c + offset`` of each row over all blocks of centroids."""
    best = winner = torch.empty(0)
    start = 0
    for block, offset in zip(blocks, offsets, strict=True):
        tile = scratch[: len(rows) * len(block)].view(len(rows), len(block))
        torch.addmm(offset, rows, block.T, alpha=alpha, out=tile)
        if tile.device.type == "cpu":
            index = torch.from_numpy(tile.numpy().argmax(axis=1))  # SIMD; torch's is slower
        else:
            index = tile.argmax(dim=1)
        value = tile.gather(1, index.unsqueeze(1)).squeeze(1)
        if start == 0:
            best, winner = value, index
        else:
            # Strictly larger, so that the lowest index wins.
            larger = (value > best) | (value.isnan() & ~best.isnan())
            best = torch.where(larger, value, best)
            winner = torch.where(larger, index + start, winner)
        start += len(block)
    return winner


def cluster_sums(features: Tensor, assignments: Tensor, num_clusters: int) -> Tensor:
    """Sum of the member rows of each cluster, fp64 (K, D).

    fp64 holds sums of fp32 rows with no rounding that matters; where the rows are on a grid
    (:mod:`mmdeepcluster.clustering.exact_sums`) there is none at all. Memory does not grow with N.
    """
    sums = torch.zeros(num_clusters, features.shape[1], dtype=torch.float64, device=features.device)
    for rows, labels in zip(features.split(_SUM_ROWS), assignments.split(_SUM_ROWS), strict=True):
        sums.index_add_(0, labels, rows.double())
    return sums
