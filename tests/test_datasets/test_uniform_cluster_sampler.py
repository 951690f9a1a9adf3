"""R8: every cluster is drawn equally often; the official mode shows what its index space does."""

import tracemalloc

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


def test_negative_labels_are_refused():
    with pytest.raises(ValueError, match="labels must be at least 0, got -1"):
        UniformClusterSampler(10, 0).set_labels(torch.full((10,), -1))


def test_a_small_cluster_repeats_and_a_large_one_draws_at_random():
    # 500 draws each: all 10 members some 50 times, and other halves of the large one by epochs
    known = labels((10, 990))
    sampler = UniformClusterSampler(1000, seed=0)
    sampler.set_labels(known)
    small = torch.nonzero(known == 0).flatten().numpy()
    times = np.bincount(drawn(sampler), minlength=1000)[small]
    assert times.min() >= 25 and times.max() <= 80  # 3.5 standard deviations around 50
    halves = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        halves.append(set(drawn(sampler).tolist()) - set(small.tolist()))
    # of 500 out of 990 drawn twice about 253 are in both
    assert 200 < len(halves[0] & halves[1]) < 300


def test_one_cluster_is_a_permutation():
    # RotNet: K = 1
    sampler = UniformClusterSampler(50, 0)
    sampler.set_labels(torch.full((50,), 3))
    assert sorted(drawn(sampler)) == list(range(50))


class TestGroups:
    """R59: a group of processes draws from the clusters of one super-cluster."""

    N, CLUSTERS, WORLD = 1003, range(3, 7), 8
    KNOWN = torch.randint(10, (N,), generator=torch.Generator().manual_seed(1))
    LENGTH = 126  # ceil(1003 / 8)

    def of(self, rank, world_size=4, stream=0, clusters=CLUSTERS, epoch=2, known=KNOWN, whole=0):
        sampler = UniformClusterSampler(self.N, 5, whole, self.WORLD)
        sampler.draw_from(clusters, rank, world_size, stream)
        sampler.set_labels(known)
        sampler.set_epoch(epoch)
        return list(sampler)

    def test_its_processes_share_equal_draws_from_its_clusters(self):
        parts = [self.of(rank) for rank in range(4)]
        assert [len(part) for part in parts] == [self.LENGTH] * 4
        found = np.array([draw.index for part in parts for draw in part])
        counts = np.bincount(self.KNOWN.numpy()[found], minlength=10)
        # 504 draws, 127 of each of four clusters of about 100 members before the cut
        assert counts.sum() == 504 and counts[3:7].sum() == 504
        assert all(123 <= count <= 127 for count in counts[3:7])
        # the processes deal one order: that of a group of two is another one, but dealt alike
        pair = [self.of(rank, world_size=2) for rank in range(2)]
        assert [len(part) for part in pair] == [self.LENGTH] * 2
        seeds = [draw.seed for part in parts for draw in part]
        assert len(set(seeds)) == len(seeds)

    def test_enough_members_are_not_repeated(self):
        found = [draw.index for draw in self.of(0, world_size=1, clusters=range(3, 7))]
        assert len(set(found)) == len(found) == self.LENGTH  # 32 of about 100 members each

    def test_streams_and_clusters_differ_and_nothing_else_enters(self):
        assert self.of(1) == self.of(1, whole=6)  # the number among all processes
        assert self.of(1) != self.of(1, stream=1)
        assert self.of(1) != self.of(1, epoch=3)
        other = self.KNOWN.clone()
        other[self.KNOWN == 9] = 8  # not of these clusters
        assert self.of(1) == self.of(1, known=other)
        one = {draw.index for draw in self.of(1)}
        assert one.isdisjoint(draw.index for draw in self.of(1, clusters=range(7, 10)))

    def test_clusters_without_members_have_no_share(self):
        known = self.KNOWN.masked_fill(self.KNOWN == 4, 3)
        found = [draw.index for draw in self.of(0, known=known)]
        counts = np.bincount(known.numpy()[found], minlength=10)
        assert counts[4] == 0 and 30 <= counts[5] <= 54

    def test_until_there_are_labels_all_samples_are_drawn(self):
        parts = []
        for rank in range(self.WORLD):
            sampler = UniformClusterSampler(self.N, 5, rank, self.WORLD)
            sampler.draw_from(self.CLUSTERS, rank % 4, 4, rank // 4)
            parts.append(drawn(sampler))
        assert set(np.concatenate(parts)) == set(range(self.N))

    def test_labels_must_follow(self):
        sampler = UniformClusterSampler(self.N, 5, 0, self.WORLD)
        sampler.set_labels(self.KNOWN)
        sampler.draw_from(self.CLUSTERS, 0, 4)
        with pytest.raises(RuntimeError, match=r"draw_from\(\) needs another set_labels\(\)"):
            next(iter(sampler))
        sampler.set_labels(self.KNOWN)
        assert list(sampler) == self.of(0, epoch=0)
        with pytest.raises(ValueError, match=r"no sample is in clusters 3 to 6.*go up to 1"):
            sampler.set_labels(torch.ones(self.N, dtype=torch.int64))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((range(3, 3), 0, 1), "clusters must be consecutive and from 0 on"),
            ((range(0, 9, 3), 0, 1), "clusters must be consecutive and from 0 on"),
            ((range(-1, 2), 0, 1), "clusters must be consecutive and from 0 on"),
            ((CLUSTERS, 4, 4), "rank 4 of a group of 4 among 8 processes"),
            ((CLUSTERS, 0, 9), "rank 0 of a group of 9 among 8 processes"),
            ((CLUSTERS, 0, 1, -1), "stream must be at least 0, got -1"),
        ],
    )
    def test_refusals(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            UniformClusterSampler(self.N, 5, 0, self.WORLD).draw_from(*arguments)

    def test_official_mode_has_no_groups(self):
        sampler = UniformClusterSampler(self.N, 5, mode="official")
        with pytest.raises(ValueError, match=r"sampler\.mode='official' cannot draw for groups"):
            sampler.draw_from(self.CLUSTERS, 0, 1)


@pytest.mark.parametrize("num_clusters", [10, 100_000])
def test_memory_of_an_epoch(num_clusters):
    """R60: 96 million samples; tracemalloc counts what numpy allocates."""
    size = 500_000
    sampler = UniformClusterSampler(size, 0)
    known = torch.randint(num_clusters, (size,), generator=torch.Generator().manual_seed(0))
    tracemalloc.start()
    try:
        sampler.set_labels(known)
        held = tracemalloc.get_traced_memory()[0]
        draws = iter(sampler)
        next(draws)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 6 * size and peak < 56 * size, (held / size, peak / size)
