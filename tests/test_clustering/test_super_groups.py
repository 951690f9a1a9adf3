"""Processes of the super-clusters, and which rows go to which process (R58)."""

from itertools import pairwise

import pytest
import torch

from mmdeepcluster.clustering.redistribute import Routes
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.super_groups import deal_processes


def sizes_of(num_parts, seed):
    """Sizes from equal to one that has nearly all."""
    generator = torch.Generator().manual_seed(100 * num_parts + seed)
    if seed == 0:
        return [50] * num_parts
    exponent = torch.rand(num_parts, generator=generator) * (3, 12, 40)[seed % 3]
    return (2**exponent).long().tolist()


def test_by_hand():
    # Four are left after one each: 10 -> 5, 6 -> 3, 5 -> 10/3, 10/3 -> 5/2 rows a process.
    assert deal_processes([10, 1, 6, 3], 8) == [range(0, 4), range(4, 5), range(5, 7), range(7, 8)]
    # 5 and 4 to one each, then 3 to the 4 (7) and 3 to the 5 (8).
    assert deal_processes([3, 5, 3, 4], 2) == [range(1, 2), range(0, 1), range(0, 1), range(1, 2)]
    assert deal_processes([7, 7], 3) == [range(0, 2), range(2, 3)]


@pytest.mark.parametrize("world_size", range(1, 21))
@pytest.mark.parametrize("num_parts", [1, 2, 3, 4, 7, 16, 30])
def test_every_process_has_work_and_no_other_way_has_a_smaller_largest_load(world_size, num_parts):
    for seed in range(8):
        sizes = sizes_of(num_parts, seed)
        groups = deal_processes(sizes, world_size)
        assert len(groups) == num_parts and all(len(ranks) >= 1 for ranks in groups)
        assert {rank for ranks in groups for rank in ranks} == set(range(world_size))
        if world_size >= num_parts:
            assert [ranks.start for ranks in groups] == [0, *(r.stop for r in groups[:-1])]
            # A process less for any group would make it the most loaded one.
            load = max(size / len(ranks) for size, ranks in zip(sizes, groups, strict=True))
            for size, ranks in zip(sizes, groups, strict=True):
                assert len(ranks) == 1 or size / (len(ranks) - 1) >= load
            continue
        loads = [0] * world_size
        for size, ranks in zip(sizes, groups, strict=True):
            assert len(ranks) == 1
            loads[ranks.start] += size
        # Graham's bound: who has most had the fewest rows before it got its last super-cluster.
        mean = sum(sizes) / world_size
        assert max(loads) <= mean + (1 - 1 / world_size) * max(sizes) + 1e-9


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("num_parts", [1, 2, 4, 6])
def test_every_row_has_one_way_to_its_place(world_size, num_parts):
    num_rows = 9000
    parts = torch.randint(num_parts**2, (num_rows,), generator=torch.Generator().manual_seed(1))
    parts = parts.double().sqrt().long()  # uneven
    groups = deal_processes(torch.bincount(parts, minlength=num_parts).tolist(), world_size)
    shares = [RowShare(num_rows, rank, world_size) for rank in range(world_size)]
    routes = [Routes(share, parts, groups) for share in shares]
    sent = [
        route.outgoing(parts[share.start : share.stop])
        for route, share in zip(routes, shares, strict=True)
    ]
    for receiver, route in enumerate(routes):
        places = route.incoming(torch.device("cpu"))
        pairs = [len(sent[sender][receiver]) for sender in range(world_size)]
        assert route.pairs[:, receiver].tolist() == pairs == [len(place) for place in places]
        rows = torch.empty(sum(pairs), dtype=torch.int64)
        for sender, place in enumerate(places):
            rows[place] = sent[sender][receiver] + shares[sender].start
        expected = []
        for part, ranks in enumerate(groups):
            if receiver in ranks:
                members = (parts == part).nonzero().flatten()
                inner = RowShare(len(members), receiver - ranks.start, len(ranks))
                expected.append(members[inner.start : inner.stop])
        assert torch.equal(rows, torch.cat(expected))
        assert [target.stop - target.start for target in route.own_targets()] == list(
            map(len, expected)
        )
    assert int(routes[0].pairs.sum()) == num_rows
    assert all(torch.equal(a.pairs, b.pairs) for a, b in pairwise(routes))
