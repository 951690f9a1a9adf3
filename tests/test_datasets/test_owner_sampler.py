"""A fixed partition, shuffled inside, equal draws per rank, a seed for each draw."""

import numpy as np
import pytest
import torch

from mmdeepcluster.datasets import Draw, OwnerSampler
from mmdeepcluster.registry import DATA_SAMPLERS

SIZES = [(10, 1), (10, 3), (12, 4), (5, 5), (1001, 7)]


@pytest.mark.parametrize(("num_samples", "world_size"), SIZES)
def test_owned_indices_are_a_partition(num_samples, world_size):
    owned = [OwnerSampler(num_samples, 3, rank, world_size).owned for rank in range(world_size)]
    assert all(item.dtype == torch.int64 for item in owned)
    assert all(torch.equal(item, item.sort().values) for item in owned)
    together = torch.cat(owned).sort().values
    assert torch.equal(together, torch.arange(num_samples))


@pytest.mark.parametrize(("num_samples", "world_size"), SIZES)
def test_each_rank_draws_equally_often_and_only_its_own(num_samples, world_size):
    length = -(-num_samples // world_size)
    for rank in range(world_size):
        sampler = OwnerSampler(num_samples, 0, rank, world_size)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            drawn = [draw.index for draw in sampler]
            assert len(drawn) == len(sampler) == length
            assert set(drawn) == set(sampler.owned.tolist())
            if len(sampler.owned) < length:
                assert drawn[-1] == drawn[0]


def test_partition_is_random_and_depends_on_the_seed():
    first, second = (OwnerSampler(1000, seed, 0, 2).owned for seed in (0, 1))
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.arange(0, 1000, 2))
    # of 500 owned, 250 in the lower half are expected, with a standard deviation of 8
    assert 200 < int((first < 500).sum()) < 300


def test_epochs_are_reproducible_and_differ():
    sampler, again = OwnerSampler(50, 4), OwnerSampler(50, 4)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    for epoch in (2, 0, 1):
        again.set_epoch(epoch)
        assert list(again) == epochs[epoch]
    assert torch.equal(sampler.owned, again.owned)
    orders = {tuple(draw.index for draw in epoch) for epoch in epochs}
    seeds = {draw.seed for epoch in epochs for draw in epoch}
    assert len(orders) == 3 and len(seeds) == 150


def test_seed_epoch_and_rank_are_mixed_well():
    """Neighbouring keys must not share draws, as seed + epoch + rank would."""
    streams = set()
    for seed in range(3):
        for rank in range(3):
            sampler = OwnerSampler(300, seed, rank, 3)
            for epoch in range(3):
                sampler.set_epoch(epoch)
                streams.add(tuple(draw.seed for draw in sampler))
    assert len(streams) == 27
    # torch's CPU generator uses the low 32 bits, so they have to differ on their own
    low_bits = [seed & 0xFFFFFFFF for stream in streams for seed in stream]
    assert len(set(low_bits)) > 0.999 * len(low_bits)


def test_draws_are_plain_numbers_and_leave_global_generators_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draws = list(OwnerSampler(20, 0))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert all(type(draw) is Draw and type(draw.index) is int for draw in draws)
    assert all(type(draw.seed) is int and 0 <= draw.seed < 2**63 for draw in draws)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_samples=4, seed=-1), r"randomness\.seed must be at least 0, got -1"),
        (dict(num_samples=4, seed=0, rank=2, world_size=2), r"rank 2 is outside \[0, 2\)"),
        (dict(num_samples=3, seed=0, rank=0, world_size=4), "3 samples .* to 4 processes"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DATA_SAMPLERS.build(dict(type="mmdeepcluster.OwnerSampler", **arguments))
