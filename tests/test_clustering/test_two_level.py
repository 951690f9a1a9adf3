"""Two-level k-means (R58): sub-clusters inside super-clusters, small super-clusters filled."""

import pytest
import torch

from mmdeepcluster.clustering import KMeans, TwoLevelKMeans
from mmdeepcluster.clustering.two_level import fill_small_clusters


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sub_clusters_lie_inside_super_clusters():
    # Four groups far apart are the super-clusters; each has its own five sub-clusters.
    groups = torch.arange(400) % 4
    features = 100 * torch.eye(4, 6)[groups] + torch.randn(400, 6, generator=rng())
    result = TwoLevelKMeans(20, 4, num_restarts=5).fit(features, seed=0)
    supers = result.assignments // 5
    for index in range(4):
        assert len(groups[supers == index].unique()) == 1
        assert sorted(result.assignments[supers == index].unique() % 5) == [0, 1, 2, 3, 4]
    flat = KMeans(4, num_restarts=5).fit(features, 0)
    assert result.objective < flat.objective
    assert 2 <= result.num_iters <= 20


def test_one_super_cluster_is_plain_kmeans_and_as_many_as_clusters_too():
    features = torch.randn(300, 4, generator=rng())
    for num_super_clusters in (1, 6):
        result = TwoLevelKMeans(6, num_super_clusters, 100, num_restarts=20).fit(features, 0)
        plain = KMeans(6, 100, num_restarts=20).fit(features, 0)
        assert result.objective == pytest.approx(plain.objective, rel=0.02)


def test_small_super_cluster_takes_the_nearest_rows_by_hand():
    # On a line: cluster 0 at {0}, cluster 1 at {2, 3, 4, 5}, cluster 2 at {-3, -9, -10}; three rows
    # each are asked for: 1 may give one, 2 none. Then 0 needs one more than there is to give.
    points = torch.tensor([0.0, 2, 3, 4, 5, -3, -9, -10])[:, None]
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2, 2])
    centroids = torch.tensor([[0.0], [3.5], [-22 / 3]])
    two = fill_small_clusters(points, labels, centroids, 2)
    assert two.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]  # the nearest is 2, then nothing is too small
    many = torch.cat([points, torch.tensor([[6.0]])])
    three = fill_small_clusters(many, torch.cat([labels, torch.tensor([1])]), centroids, 3)
    # 2 is at 2, -3 at 3: but the cluster of -3 has three rows and keeps them.
    assert three.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 1]
    assert labels.tolist() == [0, 1, 1, 1, 1, 2, 2, 2]  # what was given is left as it was


@pytest.mark.parametrize("seed", range(5))
def test_filling_always_ends(seed):
    # N = K exactly, and sizes as uneven as can be: every cluster must end with min_size rows.
    labels = torch.randint(8, (40,), generator=rng(seed)) // 3
    features = torch.randn(40, 2, generator=rng(seed))
    filled = fill_small_clusters(features, labels, torch.randn(8, 2, generator=rng(9)), 5)
    assert torch.bincount(filled, minlength=8).tolist() == [5] * 8


def test_super_cluster_with_fewer_rows_than_sub_clusters():
    # Three far rows are a super-cluster of their own, but five sub-clusters are due in it.
    features = torch.randn(40, 3, generator=rng())
    features[:3] += 1000
    result = TwoLevelKMeans(10, 2, num_restarts=5).fit(features, 0)
    far = int(result.assignments[0]) // 5
    assert bool((result.assignments[:3] // 5 == far).all())
    assert torch.bincount(result.assignments // 5, minlength=2)[far] == 5


def test_numbers_must_fit():
    with pytest.raises(ValueError, match=r"\(10\) must be a multiple of .*\(4\)"):
        TwoLevelKMeans(10, 4)
    with pytest.raises(ValueError, match="max_iters must be at least 1, got 0"):
        TwoLevelKMeans(10, 5, max_iters=0)
