"""Memory of ODC: hand-made numbers, properties, and equality of running and recomputed sums."""

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.models.memories import LabelBank, ODCMemory


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def filled(num_samples=300, num_clusters=6, dim=8, seed=0, **options):
    """A memory of random unit rows in clusters of random sizes of at least min_cluster_size."""
    options.setdefault("min_cluster_size", 2)
    memory = ODCMemory(num_samples, num_clusters, dim, **options)
    features = torch.randn(num_samples, dim, generator=rng(seed))
    assignments = torch.randint(num_clusters, (num_samples,), generator=rng(seed + 1))
    assignments[: num_clusters * 20] = torch.arange(num_clusters).repeat(20)
    memory.fill(features, assignments)
    return memory


def assert_consistent(memory):
    """Counts and sums are those of labels and features, the sums to the last bit."""
    counts = torch.bincount(memory.labels, minlength=memory.num_clusters)
    assert torch.equal(memory.counts, counts)
    running = memory.sums.clone()
    # Every order of the terms gives the same sum: here row by row, from the last to the first.
    sums = torch.zeros_like(running)
    for row in reversed(range(len(memory.labels))):
        sums[memory.labels[row]] += memory.features[row].double()
    assert torch.equal(running, sums)
    memory.recompute_sums()
    assert torch.equal(memory.sums, running)


class TestUpdate:
    def test_moving_average_by_hand(self):
        # R42, Eq. 2 with m = 0.25: F <- 0.25 * (0, 3)/3 + 0.75 * (1, 0) = (0.75, 0.25)
        memory = ODCMemory(2, 1, 2, momentum=0.25, min_cluster_size=1, renormalize=False)
        memory.fill(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        memory.update(torch.tensor([0]), torch.tensor([[0.0, 3.0]]))
        torch.testing.assert_close(memory.features, torch.tensor([[0.75, 0.25], [0.0, 1.0]]))

    def test_renormalized_row_has_unit_length(self):
        memory = ODCMemory(2, 1, 2, momentum=0.25, min_cluster_size=1)
        memory.fill(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        memory.update(torch.tensor([0]), torch.tensor([[0.0, 3.0]]))
        expected = torch.tensor([0.75, 0.25]) / 0.625**0.5
        torch.testing.assert_close(memory.features[0], expected)

    def test_only_rows_of_the_batch_change(self):
        memory = filled()
        before = memory.features.clone(), memory.labels.clone()
        batch = torch.tensor([3, 99, 250])
        memory.update(batch, torch.randn(3, 8, generator=rng(5)))
        others = torch.ones(300, dtype=torch.bool)
        others[batch] = False
        assert torch.equal(memory.features[others], before[0][others])
        assert torch.equal(memory.labels[others], before[1][others])
        assert not torch.equal(memory.features[batch], before[0][batch])

    @pytest.mark.parametrize("metric", ["l2", "dot"])
    def test_labels_are_those_of_the_nearest_centroid(self, metric):
        # R43, Eq. 3
        memory = filled(assign_metric=metric)
        batch = torch.randperm(300, generator=rng(7))[:64]
        memory.update(batch, torch.randn(64, 8, generator=rng(8)))
        rows = memory.features[batch].double()
        centroids = memory.centroids.double()
        if metric == "l2":
            expected = torch.cdist(rows, centroids).argmin(dim=1)
        else:
            expected = (rows @ centroids.T).argmax(dim=1)
        assert torch.equal(memory.labels[batch], expected)
        assert_consistent(memory)

    def test_change_ratio_by_hand(self):
        # R27: 3 of 8 samples move from the cluster at (1, 0) to the one at (0, 1).
        features = torch.tensor([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 8)
        memory = ODCMemory(16, 2, 2, momentum=1.0, min_cluster_size=1)
        memory.fill(features, torch.tensor([0] * 8 + [1] * 8))
        new = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 3)
        stats = memory.update(torch.arange(8), new)
        assert stats.change_ratio.item() == 0.375
        assert memory.counts.tolist() == [5, 11]

    def test_repeated_sample_takes_its_last_occurrence(self):
        batch = torch.tensor([4, 9, 4, 4, 2])
        features = torch.randn(5, 8, generator=rng(3))
        repeated, once = filled(), filled()
        stats = repeated.update(batch, features)
        expected = once.update(batch[[1, 3, 4]], features[[1, 3, 4]])
        for name, value in repeated.state().items():
            assert torch.equal(value, once.state()[name]), name
        assert stats.change_ratio == expected.change_ratio
        assert_consistent(repeated)

    def test_zero_features_are_counted_and_keep_the_row_finite(self):
        # P8: a dead neck
        memory = filled()
        stats = memory.update(torch.tensor([0, 1]), torch.zeros(2, 8))
        assert stats.zero_rows == 2
        assert torch.isfinite(memory.features).all()

    def test_nan_does_not_enter_the_memory(self):
        memory = filled()
        before = memory.state()
        features = torch.randn(3, 8, generator=rng(2))
        features[1, 3] = float("nan")
        stats = memory.update(torch.tensor([5, 6, 7]), features)
        assert stats.bad_rows == 1
        assert torch.equal(memory.features[6], before["features"][6])
        assert memory.labels[6] == before["labels"][6]
        assert_consistent(memory)

    def test_labels_can_stay_while_features_move(self):
        memory = filled()
        before = memory.state()
        stats = memory.update(
            torch.arange(50), torch.randn(50, 8, generator=rng(2)), reassign=False
        )
        assert stats.change_ratio == 0
        assert torch.equal(memory.labels, before["labels"])
        assert not torch.equal(memory.sums, before["sums"])
        assert_consistent(memory)

    def test_running_sums_equal_a_recompute_after_many_updates(self):
        memory = filled(2000, 20, 16, min_cluster_size=10)
        for step in range(1000):
            batch = torch.randint(2000, (64,), generator=rng(step))
            memory.update(batch, torch.randn(64, 16, generator=rng(step + 5000)))
            if step % 10 == 9:
                memory.refresh_centroids()
            memory.dissolve_small_clusters()
        assert_consistent(memory)
        assert memory.counts.min() >= 10


class TestCentroids:
    def test_refresh_gives_the_means_of_the_members(self):
        # R44
        memory = filled()
        before = memory.centroids.clone()
        for step in range(3):
            batch = torch.randperm(300, generator=rng(step))[:64]
            memory.update(batch, torch.randn(64, 8, generator=rng(step + 10)))
        assert torch.equal(memory.centroids, before)
        memory.refresh_centroids()
        for cluster in range(6):
            members = memory.features[memory.labels == cluster]
            torch.testing.assert_close(memory.centroids[cluster], members.mean(0))


class TestSmallClusters:
    def with_sizes(self, sizes, min_size, dim=4, seed=0):
        """Well separated clusters of given sizes, made small after filling."""
        num_clusters = len(sizes)
        centers = torch.nn.functional.normalize(torch.randn(num_clusters, dim, generator=rng(seed)))
        labels = torch.repeat_interleave(torch.arange(num_clusters), torch.tensor(sizes))
        features = l2_normalize(
            centers[labels] + 0.05 * torch.randn(len(labels), dim, generator=rng(seed + 1))
        )
        memory = ODCMemory(len(labels), num_clusters, dim, min_cluster_size=1)
        memory.fill(features, labels)
        memory.min_cluster_size = min_size
        return memory

    def test_sizes_of_the_paper(self):
        # R46: sizes (3, 50, 200), threshold 20
        memory = self.with_sizes([3, 50, 200], 20)
        labels = memory.labels.clone()
        refills = memory.dissolve_small_clusters()
        assert [refill.cluster for refill in refills] == [0]
        assert refills[0].parent == 2
        assert memory.counts.min() >= 20 and memory.counts.sum() == 253
        assert torch.equal(memory.labels[3:53], labels[3:53])
        assert_consistent(memory)
        for cluster in (0, 2):
            members = memory.features[memory.labels == cluster]
            torch.testing.assert_close(memory.centroids[cluster], members.mean(0))

    def test_exactly_the_minimum_is_not_small(self):
        memory = self.with_sizes([20, 60], 20)
        assert memory.dissolve_small_clusters() == []

    def test_members_go_to_the_nearest_normal_centroid(self):
        # Cluster 0 (2 members) lies nearest to cluster 1, which is small too, then to cluster 3.
        features = torch.tensor(
            [[1.0, 0.0]] * 2 + [[0.99, 0.14]] * 2 + [[-1.0, 0.0]] * 40 + [[0.9, 0.43]] * 10
        )
        labels = torch.tensor([0] * 2 + [1] * 2 + [2] * 40 + [3] * 10)
        memory = ODCMemory(54, 4, 2, min_cluster_size=1)
        memory.fill(features, labels)
        memory.min_cluster_size = 5
        memory.dissolve_small_clusters()
        assert memory.labels[:4].tolist() == [3] * 4
        assert memory.counts.tolist()[3] == 14

    def test_identical_points_are_split_at_random_and_repeatably(self):
        def run():
            memory = ODCMemory(60, 3, 2, min_cluster_size=1)
            memory.fill(torch.ones(60, 2), torch.tensor([0, 1] + [2] * 58))
            memory.min_cluster_size = 10
            memory.dissolve_small_clusters()
            return memory

        first, second = run(), run()
        assert first.counts.min() >= 10
        assert torch.equal(first.labels, second.labels)

    @pytest.mark.parametrize("min_size", [1, 5, 10])
    def test_all_clusters_become_normal_whatever_the_sizes(self, min_size):
        # P3, P4 and DESIGN 3.4: a property, up to the tight case K * min_size == N
        for seed in range(40):
            numpy_rng = np.random.default_rng(seed)
            shares = numpy_rng.dirichlet(np.full(10, 0.3))
            sizes = 1 + numpy_rng.multinomial(90, shares)
            memory = self.with_sizes(sizes.tolist(), min_size, seed=seed)
            memory.dissolve_small_clusters()
            assert memory.counts.min() >= min_size
            assert memory.counts.sum() == 100
            assert_consistent(memory)
            assert memory.dissolve_small_clusters() == []

    def test_filling_dissolves_at_once(self):
        memory = ODCMemory(50, 4, 3, min_cluster_size=8)
        labels = torch.tensor([0] * 2 + [1] * 3 + [2] * 25 + [3] * 20)
        refills = memory.fill(torch.randn(50, 3, generator=rng()), labels)
        assert {refill.cluster for refill in refills} == {0, 1}
        assert memory.counts.min() >= 8


class TestBank:
    def test_lookup_and_snapshot(self):
        bank = LabelBank(5, 2)
        bank.assign_all(torch.tensor([0, 1, 1, 0, 1]))
        assert bank.lookup(torch.tensor([4, 0, 4])).tolist() == [1, 0, 1]
        bank.labels[0] = 1
        before, now = bank.snapshot()
        assert before.tolist() == [0, 1, 1, 0, 1] and now.tolist() == [1, 1, 1, 0, 1]
        assert bank.snapshot()[0].tolist() == [1, 1, 1, 0, 1]

    @pytest.mark.parametrize(
        ("assignments", "message"),
        [
            ([0, 1, 1], "expected 5 assignments"),
            ([0, 1, 2, 0, 1], r"leave the range \[0, 2\)"),
            ([1, 1, 1, 1, 1], "1 of 2 clusters are empty"),
        ],
    )
    def test_bad_assignments_are_refused(self, assignments, message):
        with pytest.raises(ValueError, match=message):
            LabelBank(5, 2).assign_all(torch.tensor(assignments))

    def test_banks_are_not_in_the_state_dict(self):
        # A wrapper for several processes would broadcast them; they are saved as cluster state.
        assert filled().state_dict() == {}

    def test_state_round_trip(self):
        memory, other = filled(seed=1), filled(seed=9)
        other.load_state(memory.state())
        for name, value in memory.state().items():
            assert torch.equal(value, other.state()[name])
        with pytest.raises(ValueError, match=r"labels has shape \(300,\), expected \(299,\)"):
            filled(299).load_state(memory.state())
        with pytest.raises(ValueError, match="cluster state holds"):
            memory.load_state({"labels": memory.labels})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.0}, r"model.memory.momentum must be in \(0, 1\], got 0.0"),
        ({"min_cluster_size": 51}, "at most N / K = 300 / 6, got 51"),
        ({"centroids_update_interval": 0}, "at least 1 iteration, got 0"),
        ({"assign_metric": "cosine"}, "metric must be one of"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        filled(**options)


def test_more_clusters_than_samples():
    with pytest.raises(ValueError, match=r"num_clusters \(4\) must lie between 1 and"):
        ODCMemory(3, 4, 2)
