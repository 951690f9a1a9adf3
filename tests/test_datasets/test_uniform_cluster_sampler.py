"""R8: every cluster is drawn equally often; the official mode shows what its index space does."""

import numpy as np
import pytest
import torch

from mmdeepcluster.datasets import UniformClusterSampler
from mmdeepcluster.registry import DATA_SAMPLERS

SIZES = (1, 10, 989)


def labels(sizes=SIZES, seed=0):
    found = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))]


def drawn(sampler):
    return np.array([draw.index for draw in sampler])


def test_clusters_are_drawn_equally_often():
    known = labels()
    sampler = UniformClusterSampler(1000, seed=0)
    sampler.set_labels(known)
    found = drawn(sampler)
    assert len(found) == len(sampler) == 1000
    # floor(1000 / 3) + 1 = 334 of each, of which 1002 - 1000 are cut off after the shuffle
    counts = np.bincount(known.numpy()[found], minlength=3)
    assert counts.sum() == 1000 and all(332 <= count <= 334 for count in counts)
    # only the small ones are repeated
    large = found[known.numpy()[found] == 2]
    assert len(np.unique(large)) == len(large)


def test_empty_ids_get_no_draws_and_no_share():
    known = labels() * 2  # ids 0, 2, 4
    sampler = UniformClusterSampler(1000, seed=0)
    sampler.set_labels(known)
    counts = np.bincount(known.numpy()[drawn(sampler)], minlength=5)
    assert counts[1] == counts[3] == 0 and min(counts[[0, 2, 4]]) >= 332


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_share_one_order(world_size):
    def of(rank, ranks):
        sampler = UniformClusterSampler(1000, 5, rank, ranks)
        sampler.set_labels(labels())
        sampler.set_epoch(3)
        return list(sampler)

    whole, parts = of(0, 1), [of(rank, world_size) for rank in range(world_size)]
    assert {len(part) for part in parts} == {-(-1000 // world_size)}
    woven = [draw for draws in zip(*parts, strict=True) for draw in draws]
    assert woven[:1000] == whole  # indices and seeds of augmentation
    assert woven[1000:] == whole[: len(woven) - 1000]


def test_order_depends_on_seed_and_epoch_alone():
    def of(seed, epoch):
        sampler = UniformClusterSampler(1000, seed)
        sampler.set_labels(labels())
        sampler.set_epoch(epoch)
        return list(sampler)

    assert of(1, 2) == of(1, 2)
    assert of(1, 2) != of(1, 3) and of(1, 2) != of(2, 2)


def test_before_a_clustering_each_sample_is_drawn_once():
    assert sorted(drawn(UniformClusterSampler(50, 0))) == list(range(50))


def test_official_mode_draws_clusters_by_their_size():
    # peers 2.1: draws that are meant to be equal come out about as large as the clusters
    sizes = (2209, 1000, 500, 200, 36)
    known = labels(sizes)
    counts = {}
    for mode in ("uniform", "official"):
        sampler = UniformClusterSampler(sum(sizes), 0, mode=mode)
        sampler.set_labels(known)
        counts[mode] = np.bincount(known.numpy()[drawn(sampler)], minlength=5)
    assert counts["uniform"].max() - counts["uniform"].min() <= 5
    shares = counts["official"] / sum(sizes)
    assert shares == pytest.approx(np.array(sizes) / sum(sizes), abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "even"}, r"sampler.mode must be one of .* got 'even'"),
        ({"seed": -1}, "randomness.seed must be at least 0, got -1"),
        ({"rank": 2, "world_size": 2}, r"rank 2 is outside \[0, 2\)"),
        ({"num_samples": 1, "world_size": 2}, "1 samples cannot be dealt to 2 processes"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DATA_SAMPLERS.build(
            {"type": "UniformClusterSampler", "num_samples": 10, "seed": 0} | options
        )


def test_wrong_number_of_labels():
    with pytest.raises(ValueError, match=r"expected 10 labels, got \(9,\)"):
        UniformClusterSampler(10, 0).set_labels(torch.zeros(9, dtype=torch.int64))
