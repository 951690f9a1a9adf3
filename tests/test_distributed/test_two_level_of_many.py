"""Two-level k-means of several processes: the bits of one, each row sent at most once (R58, P9)."""

from unittest import mock

import pytest
import torch
from processes import run_processes

from mmdeepcluster.clustering import (
    KMeans,
    PCAWhitening,
    RowShare,
    TwoLevelKMeans,
    redistribute,
)
from mmdeepcluster.clustering import two_level as two_level_module

N, D = 9000, 6  # nine tiles of rows, the last one short
ROUND_BYTES = 20_000

# Super-clusters, clusters and rows.
CASES = {
    "even": (2, 20, "plain"),
    "uneven": (3, 30, "uneven"),
    "many": (6, 24, "uneven"),  # more super-clusters than processes
    "filled": (4, 32, "far"),
    "equal": (2, 8, "equal"),
    "one": (1, 12, "plain"),
    "as many": (5, 5, "plain"),
    "few rows": (3, 12, "few"),  # all but one process have none at first
}


def features(kind):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N, D, generator=generator)
    if kind == "uneven":
        return rows + 100.0 * (torch.rand(N, 1, generator=generator) < 0.05)
    if kind == "far":  # two rows and one row far away: their super-clusters have to be filled
        rows[[3000, 7000]] += 1e4
        rows[5000] -= 1e4
    if kind == "equal":
        return rows[:1].expand(N, D).clone()
    return rows[:900] if kind == "few" else rows


def fit(name, fill=None):
    num_super_clusters, num_clusters, kind = CASES[name]
    rows = features(kind)
    share = RowShare.of_this_process(len(rows))
    sent = []

    def counted(self, rows, to, received):
        sent.append((to, received))
        return plain(self, rows, to, received)

    plain = RowShare.exchange
    with (
        mock.patch.object(RowShare, "exchange", counted),
        mock.patch.object(redistribute, "_ROUND_BYTES", ROUND_BYTES),
    ):
        clusterer = TwoLevelKMeans(num_clusters, num_super_clusters, max_iters=5)
        result = clusterer.fit(rows[share.start : share.stop], 3, share=share)
    found = (result.assignments, result.centroids, result.counts)
    return found, (result.objective, result.num_iters), sent, share


def everything():
    check_nan()
    check_sub_group()
    return {name: fit(name) for name in CASES}, failure()


def check_nan():
    rows = features("plain")
    rows[4321, 2] = torch.nan  # held by one process, refused by all
    share = RowShare.of_this_process(N)
    with pytest.raises(ValueError, match=rf"in 1 of {N} rows \(first: \[4321\]\)"):
        TwoLevelKMeans(20, 2).fit(rows[share.start : share.stop], 0, share=share)


def check_sub_group():
    """The last two processes alone do what one does."""
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    group = torch.distributed.new_group([world_size - 2, world_size - 1])
    if rank < world_size - 2:
        return
    rows = features("plain")
    share = RowShare(N, rank - (world_size - 2), 2, group)
    own = rows[share.start : share.stop]
    one, two = PCAWhitening(3).fit(rows), PCAWhitening(3).fit(own, share)
    assert torch.equal(one.projection, two.projection)
    clusterer = KMeans(9, init="k-means++", max_iters=2)
    found = clusterer.fit(own, 0, share=share)
    assert torch.equal(found.centroids, clusterer.fit(rows, 0).centroids)
    assert torch.equal(share.gather(own), rows)


def failure():
    """What each process raises where the first fails on its own inside its super-cluster."""
    share = RowShare.of_this_process(N)

    class Failing(KMeans):
        def fit(self, features, seed, *, share):
            if self.num_clusters == 10 and torch.distributed.get_rank() == 0:
                raise MemoryError("too much")
            return super().fit(features, seed, share=share)

    rows = features("plain")[share.start : share.stop]
    with mock.patch.object(two_level_module, "KMeans", Failing):
        try:
            TwoLevelKMeans(20, 2).fit(rows, 0, share=share)
        except (MemoryError, RuntimeError) as error:
            return str(error)


@pytest.fixture(scope="module")
def of_one():
    return {name: fit(name) for name in CASES}


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_bits_of_one_process(world_size, of_one):
    every = run_processes(everything, world_size)
    for name, (found, figures, _, _) in of_one.items():
        for process, _ in every:
            others, other_figures, _, _ = process[name]
            assert all(torch.equal(one, other) for one, other in zip(found, others, strict=True))
            assert figures == other_figures, name
        check_traffic([process[name] for process, _ in every])
    first, *errors = [error for _, error in every]
    assert first == "too much" and None not in errors
    # The last one is in another group; the second of four waited for the first in vain.
    assert "another process failed" in errors[-1]
    assert world_size < 4 or "another process failed" not in errors[0]


def check_traffic(results):
    (labels, _, _), _, _, share = results[0]
    world_size = share.world_size
    sent = torch.zeros(world_size, world_size, dtype=torch.int64)
    for rank, (_, _, rounds, _) in enumerate(results):
        for to, received in rounds:
            assert to[rank] == received[rank] == 0  # own rows stay
            assert 4 * D * max(sum(to), sum(received)) <= ROUND_BYTES
            sent[rank] += torch.tensor(to)
    assert int(sent.sum()) <= len(labels)
    assert all(
        int(sent[rank].sum()) <= len(RowShare(len(labels), rank, world_size))
        for rank in range(world_size)
    )


def test_cases_are_what_they_are_called(of_one):
    sizes = {
        name: (found[0] // (CASES[name][1] // CASES[name][0])).bincount().tolist()
        for name, (found, *_) in of_one.items()
    }
    assert max(sizes["uneven"]) > 3 * min(sizes["uneven"])
    assert sorted(sizes["filled"])[:2] == [8, 8]
    assert min(of_one["equal"][0][2]) >= 1


def test_groups_are_made_of_all_processes_only():
    share = RowShare(N, 0, 2, group=object())
    with pytest.raises(ValueError, match="all processes only"):
        two_level_module.run_in_groups(share, [range(2)], lambda group: None)
