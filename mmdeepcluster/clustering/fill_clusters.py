"""Gives clusters that are too small the rows that lie nearest to them."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.candidates import exact_scores
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import RowSource

_CHUNK_ROWS = 2048


def fill_small_clusters(
    source: RowSource, share: RowShare, assignments: Tensor, centroids: Tensor, min_size: int
) -> Tensor:
    """Moves rows until each cluster has ``min_size`` of them; collective.

    A cluster that is too small, lowest id first, takes the rows nearest to its centroid from
    clusters that have more than ``min_size``; no cluster gives away more than it has above that.
    Of equal distances the lower row goes. Each such cluster costs one pass over the rows and one
    message of at most ``16 K min_size`` bytes.

    Args:
        source: Rows of this process.
        share: Which rows of all N they are, N at least ``min_size`` times the number of clusters.
        assignments: Cluster of each of the N rows, int64 (N,), the same on every process.
        centroids: Centroids (K, D).
        min_size: Smallest size.

    Returns:
        Assignments (N,), the same tensor where nothing was too small.
    """
    counts = torch.bincount(assignments, minlength=len(centroids))
    small = (counts < min_size).nonzero().flatten().tolist()
    assignments = assignments.clone() if small else assignments
    for cluster in small:
        needed = min_size - int(counts[cluster])
        surplus = (counts - min_size).clamp_min(0)
        # No donor gives more than is needed, so that many of each process are enough.
        most = surplus.clamp_max(needed)
        row, distance = _donated(source, share, assignments, centroids[cluster], most)
        row, distance = _gather(share, row, distance, int(most.sum()))
        moved = row[_nearest(distance, assignments[row], surplus)[:needed]]
        assignments[moved] = cluster
        counts = torch.bincount(assignments, minlength=len(centroids))
    return assignments


def _donated(
    source: RowSource, share: RowShare, assignments: Tensor, centroid: Tensor, most: Tensor
) -> tuple[Tensor, Tensor]:
    """Ascending numbers and distances of this process's nearest rows, ``most`` (K,) of a donor."""
    own = assignments[share.start : share.stop]
    rows = (most[own] > 0).nonzero().flatten()
    parts = [exact_scores(source.take(part), centroid, "l2") for part in rows.split(_CHUNK_ROWS)]
    distance = torch.cat(parts)
    kept = _nearest(distance, own[rows], most).sort().values
    return rows[kept] + share.start, distance[kept]


def _gather(share: RowShare, row: Tensor, distance: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Those of all processes, in the order of the rows; each sends ``slots`` places."""
    message = torch.full((slots, 2), torch.inf, dtype=torch.float64, device=row.device)
    message[: len(row)] = torch.stack([row.double(), distance], dim=1)
    found = torch.cat(share.all_gather(message))
    found = found[found[:, 0].isfinite()]
    return found[:, 0].to(torch.int64), found[:, 1]


def _nearest(distance: Tensor, donor: Tensor, most: Tensor) -> Tensor:
    """Places of the nearest rows, the nearest first, at most ``most`` (K,) of each donor."""
    order = distance.argsort(stable=True)
    donor = donor[order]
    by_donor = donor.argsort(stable=True)
    sizes = torch.bincount(donor, minlength=len(most))
    first = (sizes.cumsum(0) - sizes)[donor[by_donor]]
    place = torch.empty_like(by_donor)
    place[by_donor] = torch.arange(len(donor), device=donor.device) - first
    return order[place < most[donor]]
