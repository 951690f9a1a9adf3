"""Batches of nearly equal size: nothing dropped, no batch of one."""

import pytest

from mmdeepcluster.datasets import BalancedBatchSampler, OwnerSampler


def batches(count, batch_size):
    return list(BalancedBatchSampler(OwnerSampler(count, 0), batch_size))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8, 64])
def test_every_draw_once_in_batches_that_differ_by_at_most_one(batch_size):
    for count in range(1, 70):
        sampler = BalancedBatchSampler(OwnerSampler(count, 0), batch_size)
        dealt = list(sampler)
        sizes = [len(batch) for batch in dealt]
        assert len(dealt) == len(sampler) == -(-count // batch_size)
        assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
        assert [draw for batch in dealt for draw in batch] == list(OwnerSampler(count, 0))


def test_no_batch_of_a_single_sample():
    for batch_size in range(3, 20):
        for count in range(2, 100):
            assert min(len(batch) for batch in batches(count, batch_size)) > 1


def test_start_inside_an_epoch_holds_once():
    sampler = BalancedBatchSampler(OwnerSampler(23, 0), 5)
    whole = list(sampler)
    sampler.set_start(3)
    iter(sampler)  # an iterator that is never read does not consume the start
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole
    sampler.set_start(5)
    assert list(sampler) == []


@pytest.mark.parametrize("start", [-1, 6])
def test_start_outside_the_epoch(start):
    sampler = BalancedBatchSampler(OwnerSampler(23, 0), 5)
    with pytest.raises(ValueError, match=rf"cannot start at batch {start}: an epoch has 5"):
        sampler.set_start(start)


def test_batch_size_is_checked():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        BalancedBatchSampler(OwnerSampler(4, 0), 0)
