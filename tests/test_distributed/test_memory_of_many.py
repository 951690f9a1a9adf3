"""Partition and memory of several processes against those of one."""

from unittest import mock

import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from processes import run_processes

from mmdeepcluster.clustering import Partition
from mmdeepcluster.datasets.samplers import OwnerSampler
from mmdeepcluster.models.memories import ODCMemory, odc_memory

N, K, D = 301, 7, 8  # N odd: the shares differ in size


def rng(seed):
    return torch.Generator().manual_seed(seed)


def gathered():
    partition = Partition(N, seed=3, rank=get_rank(), world_size=get_world_size())
    rows = torch.stack([partition.owned, partition.owned * 2], dim=1).float()
    on_main = partition.gather_on_main(rows)
    return {
        "owned": partition.owned.tolist(),
        "rows": partition.gather(rows).tolist(),
        "on_main": None if on_main is None else on_main.tolist(),
    }


def test_sampler_draws_what_the_partition_owns():
    # DESIGN 3.6
    for rank in range(3):
        sampler = OwnerSampler(N, seed=3, rank=rank, world_size=3)
        partition = Partition(N, seed=3, rank=rank, world_size=3)
        assert {draw.index for draw in sampler} == set(partition.owned.tolist())


def test_foreign_samples_are_refused():
    partition = Partition(N, seed=3, rank=1, world_size=2)
    foreign = Partition(N, seed=3, rank=0, world_size=2).owned[:2]
    with pytest.raises(ValueError, match="samples of another rank"):
        partition.to_local(foreign)


def evolve(num_steps, min_size, split_sample):
    """Updates that depend on the global batch alone; the state of all samples at the end."""
    with mock.patch.object(odc_memory, "_SPLIT_SAMPLE", split_sample):
        return _evolve(num_steps, min_size)


def _evolve(num_steps, min_size):
    rank, world_size = get_rank(), get_world_size()
    memory = ODCMemory(N, K, D, min_cluster_size=min_size)
    partition = Partition(N, seed=3, rank=rank, world_size=world_size)
    memory.shard(partition)
    features = torch.randn(N, D, generator=rng(0))
    assignments = torch.randint(K, (N,), generator=rng(1))
    memory.fill(partition.own(features), assignments)
    mine = torch.zeros(N, dtype=torch.bool)
    mine[partition.owned] = True
    num_refills, ratios, counts = 0, [], []
    for step in range(num_steps):
        batch = torch.randint(N, (48,), generator=rng(100 + step))  # with repeated samples
        values = torch.randn(48, D, generator=rng(9000 + step))
        # Features that gather at few places make clusters small.
        values[:, 0] += 3.0 * (step % 5)
        own = mine[batch]
        stats = memory.update(batch[own], values[own])
        ratios.append(float(stats.change_ratio))
        if step % 10 == 9:
            memory.refresh_centroids()
        num_refills += len(memory.dissolve_small_clusters())
        counts.append(memory.counts.tolist())
    state = memory.state()
    sample = memory.feature_sample(40, seed=5)
    return {
        "state": {name: value.tolist() for name, value in state.items()},
        "ratios": ratios,
        "counts": counts,
        "num_refills": num_refills,
        "labels": memory.all_labels().tolist(),
        "sample": sample.tolist(),
    }


def elastic_state(path):
    memory = ODCMemory(N, K, D, min_cluster_size=20)
    memory.shard(Partition(N, seed=3, rank=get_rank(), world_size=get_world_size()))
    memory.load_state(torch.load(path, weights_only=True))
    return {name: value.tolist() for name, value in memory.state().items()}


# Number of steps, min_size, split_sample. In the tight case K * min_size = N, samples are taken
# from many clusters in nearly every step.
SCENARIOS = {"plain": (200, 20, 4096), "split by a sample": (200, 20, 45), "tight": (15, 43, 4096)}


def everything(path):
    found = {name: evolve(*options) for name, options in SCENARIOS.items()}
    return found | {"gathered": gathered(), "elastic": elastic_state(path)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """State of a memory that one process filled."""
    memory = ODCMemory(N, K, D, min_cluster_size=20)
    memory.fill(torch.randn(N, D, generator=rng(0)), torch.arange(N) % K)
    memory.update(torch.arange(50), torch.randn(50, D, generator=rng(1)))
    path = tmp_path_factory.mktemp("memory") / "state.pth"
    torch.save(memory.state(), path)
    return path


@pytest.fixture(scope="module", params=[2, 3])
def many(request, saved):
    """What each of several processes found."""
    return run_processes(everything, request.param, saved)


@pytest.fixture(scope="module")
def one(saved):
    """What one process found."""
    return everything(saved)


def test_rows_come_back_in_the_order_of_the_samples(many):
    results = [result["gathered"] for result in many]
    owned = sorted(index for result in results for index in result["owned"])
    assert owned == list(range(N))
    expected = [[float(index), 2.0 * index] for index in range(N)]
    assert all(result["rows"] == expected for result in results)
    assert [result["on_main"] for result in results] == [expected] + [None] * (len(many) - 1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_many_ranks_have_the_memory_of_one(one, many, scenario):
    # R42 to R46, R27: bit for bit after 200 iterations in which clusters were dissolved
    expected = one[scenario]
    assert expected["num_refills"] > 5
    assert many[0][scenario]["state"] == expected["state"]
    assert all(not result[scenario]["state"] for result in many[1:])
    for result in many:
        for key in ("ratios", "counts", "num_refills", "labels", "sample"):
            assert result[scenario][key] == expected[key], key


def test_state_of_one_is_loaded_by_many(one, many):
    # R13, elastic
    assert [result["elastic"] for result in many] == [one["elastic"]] + [{}] * (len(many) - 1)


def test_damaged_state_is_refused():
    memory = ODCMemory(N, K, D, min_cluster_size=20)
    memory.fill(torch.randn(N, D, generator=rng(0)), torch.arange(N) % K)
    for name in ("labels", "features"):
        state = memory.state()
        state[name][5] = state[name][6]
        with pytest.raises(ValueError, match=r"of the cluster state disagree: damaged"):
            ODCMemory(N, K, D, min_cluster_size=20).load_state(state)
