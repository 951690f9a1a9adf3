"""k-means of several processes has the bits of one, and sends no more than it must (P9)."""

from unittest import mock

import pytest
import torch
from processes import run_processes

from mmdeepcluster.clustering import KMeans, RowShare, empty_clusters, row_share

N, K, D = 3300, 60, 12  # four tiles of rows, the last one short


def features(kind):
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    if kind == "few":  # far fewer distinct rows than clusters
        return rows[torch.arange(N) % 7]
    if kind == "unit":
        return torch.nn.functional.normalize(rows)
    return rows


STARTS = {
    "random": (dict(num_restarts=2, max_iters=6), {}),
    "k-means++": (dict(init="k-means++", max_iters=6), {}),
    "spherical": (dict(spherical=True, max_iters=6), {}),
    "labels": (dict(max_iters=6), {"assignments": torch.arange(N) % K}),
    "centroids": (dict(max_iters=6), {"centroids": torch.zeros(K, D)}),
    "few": (dict(), {}),
    "compact": (dict(empty="compact"), {}),
    "one tile": (dict(), {}),  # all but one process have no rows
}


def fit(name):
    options, start = STARTS[name]
    kind = {"spherical": "unit", "few": "few", "compact": "few"}.get(name, "plain")
    share = RowShare.of_this_process(900 if name == "one tile" else N)
    sent = []

    def counted(values, *options):
        sent.append(values.numel() * values.element_size())
        return real(values, *options)

    real = row_share.all_reduce
    rows = features(kind)[share.start : share.stop]
    with (
        mock.patch.object(row_share, "all_reduce", counted),
        mock.patch.object(empty_clusters, "_SPLIT_SAMPLE", 100),
    ):
        result = KMeans(K, **options).fit(rows, 3, share=share, **start)
    return {
        "assignments": result.assignments.tolist(),
        "centroids": result.centroids.tolist(),
        "objective": result.objective,
        "objectives": result.objectives,
        "num_clusters": result.num_clusters,
        "num_iters": result.num_iters,
    }, sent


def fits():
    check_failures()
    return {name: fit(name) for name in STARTS}


def check_failures():
    share = RowShare.of_this_process(N)
    rows = features("plain")[share.start : share.stop]
    bad = 2048 + 5  # held by one process, refused by all
    if share.start <= bad < share.stop:
        rows[bad - share.start, 0] = torch.nan
    with pytest.raises(ValueError, match=rf"in 1 of {N} rows \(first: \[{bad}\]\)"):
        KMeans(K).fit(rows, 0, share=share)


@pytest.fixture(scope="module")
def of_one():
    return fits()


@pytest.mark.parametrize("world_size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_bits_of_one_process(world_size, of_one):
    for found in run_processes(fits, world_size):
        for name, (result, sent) in found.items():
            assert result == of_one[name][0], name
            per_iteration = [size for size in sent if size == 8 * K * (D + 1) + 8]
            # An assignment each, with the first one; 2 more runs, or the refill, where there are.
            assert len(per_iteration) >= result["num_iters"]
            assert max(sent) <= max(8 * K * (D + 1) + 64, 4 * D * N), name
