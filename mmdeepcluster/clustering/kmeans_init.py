"""First centroids of k-means."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.points import Points

# Rows per cluster among which k-means++ chooses.
_SAMPLE_PER_CLUSTER = 8
_LEAST_SAMPLE = 1 << 14
_DRAWS = 64


def random_rows(points: Points, num_clusters: int, generator: torch.Generator) -> Tensor:
    """K different rows at random (K, D), the same on every process; collective."""
    return points.take(torch.randperm(points.num_rows, generator=generator)[:num_clusters])


def spread_rows(points: Points, num_clusters: int, generator: torch.Generator) -> Tensor:
    """K rows (K, D) by k-means++ [1]; collective.

    Each row is drawn with a probability proportional to its squared distance to the rows drawn
    before, one candidate a time (not greedy). Where N is larger, it chooses among a random sample
    of ``max(8 K, 16,384)`` rows, which every process holds.

    64 rows are drawn at once from the present distances and thinned out: a row is accepted with the
    ratio of its distance now to that at the draw, which gives the same distribution as drawing
    one by one, for one product of the sample with 64 rows. All in all it costs about as much as
    one iteration on the sample in fp64: some 10 s for K = 10,000 and D = 256 on two cores.

    [1] Arthur, Vassilvitskii: k-means++, SODA 2007.
    """
    size = min(points.num_rows, max(_SAMPLE_PER_CLUSTER * num_clusters, _LEAST_SAMPLE))
    chosen = torch.randperm(points.num_rows, generator=generator)[:size]
    sample = points.take(chosen)
    picked = _draw(sample.double(), num_clusters, generator)
    # Processors of different kinds may round differently.
    return sample[points.share.broadcast(picked)]


def _draw(rows: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """Numbers (K,) of different rows of (M, D)."""
    squares = rows.square().sum(dim=1)
    picked = torch.randint(len(rows), (1,), generator=generator).to(rows.device)
    nearest = _distances(rows, squares, picked)[:, 0]
    while len(picked) < num_clusters:
        nearest[picked] = 0.0
        weights = nearest.cpu().cumsum(0)  # not deterministic on a GPU
        if float(weights[-1]) == 0.0:
            return _fill_up(picked, len(rows), num_clusters, generator)
        uniform = torch.rand(_DRAWS, 2, generator=generator, dtype=torch.float64)
        drawn = torch.searchsorted(weights, uniform[:, 0] * weights[-1], right=True)
        drawn = drawn.clamp_max(len(rows) - 1).to(rows.device)
        distances = _distances(rows, squares, drawn)
        accepted = _thin(nearest[drawn], distances[drawn], uniform[:, 1])
        accepted = accepted[: num_clusters - len(picked)]
        if not len(accepted):  # the draw was rounded to the end
            continue
        picked = torch.cat([picked, drawn[accepted]])
        nearest = torch.minimum(nearest, distances[:, accepted].amin(dim=1))
    return picked


def _distances(rows: Tensor, squares: Tensor, chosen: Tensor) -> Tensor:
    """Squared distances (M, C), rounded so that the order of sums in a product hardly matters."""
    distances = squares[:, None] + squares[chosen] - 2.0 * (rows @ rows[chosen].T)
    scale = 2.0**30 / squares.amax().clamp_min(1e-300)
    return (distances * scale).round_().clamp_min_(0.0)


def _thin(at_draw: Tensor, between: Tensor, uniform: Tensor) -> Tensor:
    """Numbers of the draws that stand, given their distances (C,) and those between them (C, C)."""
    now = at_draw.tolist()
    rows, coins = between.tolist(), uniform.tolist()
    accepted: list[int] = []
    for draw, first in enumerate(now):
        distance = min([first, *(rows[draw][other] for other in accepted)])
        if first > 0.0 and coins[draw] * first < distance:
            accepted.append(draw)
    return torch.tensor(accepted, dtype=torch.int64, device=at_draw.device)


def _fill_up(
    picked: Tensor, num_rows: int, num_clusters: int, generator: torch.Generator
) -> Tensor:
    """Adds rows at random where every row equals one that was picked."""
    free = torch.ones(num_rows, dtype=torch.bool)
    free[picked.cpu()] = False
    rest = free.nonzero().flatten()
    order = torch.randperm(len(rest), generator=generator)[: num_clusters - len(picked)]
    return torch.cat([picked, rest[order].to(picked.device)])
