"""Two-level k-means (R58): sub-clusters inside super-clusters, small super-clusters filled."""

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import KMeans, RowShare, TwoLevelKMeans
from mmdeepcluster.clustering.fill_clusters import fill_small_clusters
from mmdeepcluster.clustering.row_source import RowSource


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def fill(features, labels, centroids, min_size):
    return fill_small_clusters(
        RowSource(features), RowShare(len(features)), labels, centroids, min_size
    )


def naive_fill(features, labels, centroids, min_size):
    """One row at a time: the nearest one whose cluster can spare it."""
    labels = labels.tolist()
    for cluster in range(len(centroids)):
        distance = (features.double() - centroids[cluster].double()).square().sum(dim=1).tolist()
        short = min_size - labels.count(cluster)
        for _ in range(short):
            rows = [i for i, label in enumerate(labels) if labels.count(label) > min_size]
            labels[min(rows, key=lambda i: (distance[i], i))] = cluster
    return torch.tensor(labels)


def naive(features, num_clusters, num_super_clusters, seed, max_iters=10):
    """Labels and objective of k-means run twice, row by row for what is moved."""
    size = num_clusters // num_super_clusters
    seeds = torch.randint(2**31, (num_super_clusters + 1,), generator=rng(seed)).tolist()
    top = KMeans(num_super_clusters, max_iters).fit(features, seeds[0])
    supers = naive_fill(features, top.assignments, top.centroids, size)
    labels, total = torch.zeros(len(features), dtype=torch.int64), 0.0
    for index in range(num_super_clusters):
        mask = supers == index
        part = KMeans(size, max_iters).fit(features[mask], seeds[1 + index])
        labels[mask] = part.assignments + index * size
        total += part.objective * int(mask.sum())
    return labels, total / len(features), supers


def nasty(kind):
    rows = torch.randn(240, 5, generator=rng(3))
    if kind == "duplicates":
        return rows[torch.arange(240) % 7]
    if kind == "one point":
        return rows[:1].expand(240, 5).clone()
    if kind == "far blob":
        rows[17] += 1e4
        rows[30:33] -= 1e3
    if kind == "as many clusters as rows":
        return rows[:24]
    if kind == "large numbers":
        return rows * 1e30
    return rows


KINDS = ["plain", "duplicates", "one point", "far blob", "as many clusters as rows"]


@pytest.mark.parametrize("kind", [*KINDS, "large numbers"])
@pytest.mark.parametrize("num_super_clusters", [2, 4, 8])
def test_every_cluster_lies_in_one_super_cluster_and_none_is_empty(kind, num_super_clusters):
    # R58, R6
    features = nasty(kind)
    for seed in range(3):
        found = TwoLevelKMeans(24, num_super_clusters).fit(features, seed)
        labels, objective, supers = naive(features, 24, num_super_clusters, seed)
        assert torch.equal(found.assignments // (24 // num_super_clusters), supers)
        assert torch.equal(found.assignments, labels)
        assert found.objective == pytest.approx(objective, rel=1e-12)
        assert found.counts.min() >= 1 and len(found.assignments.unique()) == 24
        means = torch.stack([features[labels == c].double().mean(dim=0) for c in range(24)])
        torch.testing.assert_close(found.centroids.double(), means, rtol=1e-5, atol=1e-5)


def test_super_clusters_are_those_of_the_data():
    # Four groups far apart are the super-clusters; each has its own five sub-clusters.
    groups = torch.arange(400) % 4
    features = 100 * torch.eye(4, 6)[groups] + torch.randn(400, 6, generator=rng())
    result = TwoLevelKMeans(20, 4, num_restarts=5).fit(features, seed=0)
    supers = result.assignments // 5
    for index in range(4):
        assert len(groups[supers == index].unique()) == 1
    flat = KMeans(4, num_restarts=5).fit(features, 0)
    assert result.objective < flat.objective
    assert 2 <= result.num_iters <= 20


@pytest.mark.parametrize("num_super_clusters", [1, 6])
def test_one_super_cluster_and_as_many_as_clusters_are_plain_kmeans(num_super_clusters):
    features = torch.randn(300, 4, generator=rng())
    seeds = torch.randint(2**31, (2,), generator=rng(5)).tolist()
    plain = KMeans(6, 10).fit(features, seeds[1 if num_super_clusters == 1 else 0])
    found = TwoLevelKMeans(6, num_super_clusters).fit(features, 5)
    assert torch.equal(found.assignments, plain.assignments)
    assert torch.equal(found.centroids, plain.centroids)
    assert (found.objective, found.num_iters) == (plain.objective, plain.num_iters)


def test_one_cluster():
    result = TwoLevelKMeans(1, 1).fit(torch.tensor([[0.0], [2.0]]), 0)
    assert result.centroids.tolist() == [[1.0]] and result.objective == 1.0


def test_memory_map_array_and_tensor_give_the_same(tmp_path):
    features = torch.randn(5000, 8, generator=rng())
    np.save(tmp_path / "features.npy", features.numpy())
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    of_tensor = TwoLevelKMeans(40, 4, 4).fit(features, 1)
    for other in (mapped, features.numpy()):
        found = TwoLevelKMeans(40, 4, 4).fit(other, 1)
        assert torch.equal(found.assignments, of_tensor.assignments)
        assert torch.equal(found.centroids, of_tensor.centroids)
        assert found.objective == of_tensor.objective


def test_small_super_cluster_takes_the_nearest_rows_by_hand():
    # On a line: cluster 0 at {0}, cluster 1 at {2, 3, 4, 5}, cluster 2 at {-3, -9, -10}; three rows
    # each are asked for: 1 may give one, 2 none. Then 0 needs one more than there is to give.
    points = torch.tensor([0.0, 2, 3, 4, 5, -3, -9, -10])[:, None]
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2, 2])
    centroids = torch.tensor([[0.0], [3.5], [-22 / 3]])
    two = fill(points, labels, centroids, 2)
    assert two.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]  # the nearest is 2, then nothing is too small
    many = torch.cat([points, torch.tensor([[6.0]])])
    three = fill(many, torch.cat([labels, torch.tensor([1])]), centroids, 3)
    # 2 is at 2, -3 at 3: but the cluster of -3 has three rows and keeps them.
    assert three.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 1]
    assert labels.tolist() == [0, 1, 1, 1, 1, 2, 2, 2]  # what was given is left as it was
    assert fill(points, labels, centroids, 1) is labels


@pytest.mark.parametrize("seed", range(5))
def test_filling_always_ends_and_moves_one_nearest_row_after_the_other(seed):
    # N = K exactly, and sizes as uneven as can be: every cluster must end with min_size rows.
    labels = torch.randint(8, (40,), generator=rng(seed)) // 3
    features = torch.randn(40, 2, generator=rng(seed)).round()  # some at the same distance
    centroids = torch.randn(8, 2, generator=rng(9)).round()
    for min_size in (2, 5):
        filled = fill(features, labels, centroids, min_size)
        assert torch.bincount(filled, minlength=8).min() >= min_size
        assert torch.equal(filled, naive_fill(features, labels, centroids, min_size))


def test_super_cluster_with_fewer_rows_than_sub_clusters():
    # Three far rows are a super-cluster of their own, but five sub-clusters are due in it.
    features = torch.randn(40, 3, generator=rng())
    features[:3] += 1000
    result = TwoLevelKMeans(10, 2, num_restarts=5).fit(features, 0)
    far = int(result.assignments[0]) // 5
    assert bool((result.assignments[:3] // 5 == far).all())
    assert torch.bincount(result.assignments // 5, minlength=2)[far] == 5


def test_numbers_must_fit():
    with pytest.raises(ValueError, match=r"\(10\) must be a multiple of model.num_super_.*\(4\)"):
        TwoLevelKMeans(10, 4)
    with pytest.raises(ValueError, match="max_iters must be at least 1, got 0"):
        TwoLevelKMeans(10, 5, max_iters=0)
    with pytest.raises(ValueError, match="10 clusters from 9 samples"):
        TwoLevelKMeans(10, 2).fit(torch.zeros(9, 2), 0)
