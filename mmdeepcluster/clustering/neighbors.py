"""Exact nearest neighbours of the rows of a matrix among themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import tile_rows

# Columns whose minimum is taken together; see `_smallest`.
_GROUP = 64


@torch.no_grad()
def nearest_neighbors(features: Tensor, num_neighbors: int) -> tuple[Tensor, Tensor]:
    """The k nearest other rows of each row, by products in tiles.

    ``2 N^2 D`` operations: 7e14 for N = 1.28 million and D = 256, about 10 seconds on a large GPU
    and an hour on a CPU. Memory does not grow with N^2.

    Args:
        features: Rows (N, D) in fp32.
        num_neighbors: k, less than N.

    Returns:
        Rows (N, k), the nearest first, int64, and their squared distances (N, k), fp32, computed
        from the differences. A row is not its own neighbour; an equal row is one.

    Raises:
        ValueError: If k is not in [1, N).
    """
    num_rows = len(features)
    if not 1 <= num_neighbors < num_rows:
        raise ValueError(
            f"num_neighbors must be at least 1 and less than the number of samples, got "
            f"{num_neighbors} and {num_rows} samples: lower model.clusterer.num_neighbors"
        )
    squares = features.square().sum(dim=1)
    columns = -(-num_rows // _GROUP) * _GROUP
    neighbors = torch.empty(num_rows, num_neighbors, dtype=torch.int64, device=features.device)
    distances = torch.empty(num_rows, num_neighbors, device=features.device)
    size = min(tile_rows(columns), num_rows)
    scratch = features.new_full((size, columns), torch.inf)
    for start in range(0, num_rows, size):
        rows = features[start : start + size]
        tile = scratch[: len(rows)]
        tile[:, :num_rows] = torch.addmm(squares, rows, features.T, alpha=-2.0)
        tile.diagonal(start).fill_(torch.inf)
        found = _smallest(tile, num_neighbors)
        for column in range(num_neighbors):
            difference = rows - features[found[:, column]]
            distances[start : start + size, column] = difference.square().sum(dim=1)
        neighbors[start : start + size] = found
    # The products cancel where rows are close, so the order is that of the differences.
    distances, order = distances.sort(dim=1, stable=True)
    return neighbors.gather(1, order), distances


def _smallest(tile: Tensor, count: int) -> Tensor:
    """Columns of the smallest entries of each row (B, C), C a multiple of ``_GROUP``.

    They lie in the groups of columns with the smallest minima, so that the costly search for the
    first few runs over C / 64 minima and then over these groups.
    """
    grouped = tile.view(len(tile), -1, _GROUP)
    num_groups = min(count, grouped.shape[1])
    groups = grouped.amin(dim=2).topk(num_groups, largest=False, sorted=False).indices
    candidates = grouped.gather(1, groups[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    place = candidates.topk(count, largest=False).indices
    return groups.gather(1, place // _GROUP) * _GROUP + place % _GROUP
