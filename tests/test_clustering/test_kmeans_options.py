"""Starts, spherical k-means, streams, repairs and both rules for empty clusters (R5, R6, R15)."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from mmdeepcluster.clustering import FaissKMeans, KMeans, RowShare, l2_normalize
from mmdeepcluster.clustering.empty_clusters import drop_empty, repair_centroids, split_largest
from mmdeepcluster.clustering.kmeans_init import spread_rows
from mmdeepcluster.clustering.points import Points


def rng(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed))


@pytest.fixture(params=[KMeans, FaissKMeans], ids=["torch", "faiss"])
def make(request):
    if request.param is FaissKMeans:
        pytest.importorskip("faiss", reason="faiss is an optional extra")
    return request.param


def same(first, second):
    assert torch.equal(first.assignments, second.assignments)
    assert torch.equal(first.centroids, second.centroids)
    assert first.objective == second.objective and first.objectives == second.objectives


def test_iterations_by_hand():
    # Points 0, 1, 5, 6 from centroids 0 and 1: {0} {1, 5, 6}, means 0 and 4; {0, 1} {5, 6}, means
    # 0.5 and 5.5, squared distances all 1/4; nothing moves in the third iteration.
    points = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    start = torch.tensor([[0.0], [1.0]])
    one = KMeans(2, max_iters=1).fit(points, 0, centroids=start)
    assert one.assignments.tolist() == [0, 0, 1, 1]
    assert one.objectives == ((0 + 1 + 1 + 4) / 4,)  # to 0 and 4
    assert one.objective == 0.25  # to the means of the final members
    assert one.centroids.flatten().tolist() == [0.5, 5.5]
    all_of_them = KMeans(2).fit(points, 0, centroids=start)
    assert all_of_them.num_iters == 2 and all_of_them.objectives == (1.5, 0.25)


def test_lloyd_of_sklearn_from_the_same_start():
    # R5: the same labels after the same number of iterations, not only in the end.
    points, _ = make_blobs(600, 8, centers=12, cluster_std=4.0, random_state=0)
    points = torch.from_numpy(points).float()
    start = points[:12].clone()
    for iters in (1, 3, 8):
        ours = KMeans(12, max_iters=iters).fit(points, 0, centroids=start)
        reference = SklearnKMeans(12, init=start.numpy(), n_init=1, tol=0, max_iter=iters)
        centers = reference.fit(points.numpy()).cluster_centers_
        labels = torch.cdist(points.double(), torch.from_numpy(centers).double()).argmin(dim=1)
        assert torch.equal(ours.assignments, labels)


def test_objectives_do_not_increase_and_end_in_the_result():
    # R5
    result = KMeans(15, max_iters=300).fit(randn(800, 8), 0)
    assert len(result.objectives) == result.num_iters < 300
    assert all(late <= early for early, late in pairwise(result.objectives))
    assert result.objective == pytest.approx(result.objectives[-1], rel=1e-6)
    nearest = result.centroids[result.assignments].double()
    distances = (randn(800, 8).double() - nearest).square().sum(dim=1)
    assert result.objective == pytest.approx(float(distances.mean()), rel=1e-9)


def test_start_from_labels_is_the_start_from_their_means():
    features = randn(500, 6)
    labels = torch.randint(7, (500,), generator=rng(1))
    means = torch.stack([features[labels == k].double().mean(dim=0) for k in range(7)]).float()
    by_labels = KMeans(7, max_iters=5).fit(features, 0, assignments=labels)
    # The first update from given centroids comes after one more assignment.
    expected = KMeans(7, max_iters=4).fit(features, 0, centroids=means)
    assert torch.equal(by_labels.assignments, expected.assignments)
    assert torch.equal(by_labels.centroids, expected.centroids)


def test_start_from_labels_survives_a_turned_basis():
    features = randn(2000, 16) * torch.linspace(1, 3, 16)
    cold = KMeans(40).fit(features, 0)
    turned = (features.double() @ torch.linalg.qr(randn(16, 16, seed=5).double()).Q).float()
    warm = KMeans(40, max_iters=2).fit(turned, 1, assignments=cold.assignments)
    assert warm.objective <= cold.objective * 1.0001
    stale = KMeans(40, max_iters=2).fit(turned, 1, centroids=cold.centroids)
    assert stale.objective > cold.objective * 1.01


def test_given_centroids_are_a_fixed_point(make):
    features = randn(400, 4)
    first = make(9, max_iters=200).fit(features, 0)
    again = make(9, max_iters=3, num_restarts=4).fit(features, 5, centroids=first.centroids)
    assert torch.equal(first.assignments, again.assignments)


@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_spherical(make, init):
    # R15. Directions matter, and centroids have unit length.
    centers = l2_normalize(randn(5, 6, seed=3))
    labels = torch.arange(500) % 5
    features = l2_normalize(centers[labels] + 0.05 * randn(500, 6))
    features[0] = 0
    result = make(5, spherical=True, init=init, num_restarts=8).fit(features, 0)
    assert adjusted_rand_score(labels[1:], result.assignments[1:]) == 1.0
    torch.testing.assert_close(result.centroids.norm(dim=1), torch.ones(5))
    expected = (features @ result.centroids.T).argmax(dim=1)
    assert torch.equal(result.assignments[1:], expected[1:])
    assert torch.equal(make(5, spherical=True).predict(features, result)[1:], expected[1:])
    assert all(late <= early for early, late in pairwise(result.objectives))


def test_spherical_needs_unit_rows():
    with pytest.raises(ValueError, match="rows of unit length: apply l2_normalize"):
        KMeans(3, spherical=True).fit(randn(20, 4), 0)


def test_predict_is_what_fit_ended_with():
    features = randn(300, 5)
    clusterer = KMeans(6, max_iters=200)
    result = clusterer.fit(features, 0)
    assert torch.equal(clusterer.predict(features, result), result.assignments)
    assert torch.equal(clusterer.predict(features.numpy(), result.centroids), result.assignments)


def test_kmeans_plus_plus_spreads():
    # One row of each of 40 far blobs, which random rows miss.
    points, labels = make_blobs(4000, 8, centers=40, cluster_std=0.01, random_state=0)
    points = Points(torch.from_numpy(points).float())
    chosen = spread_rows(points, 40, rng(0))
    owner = torch.cdist(chosen, points.source.features).argmin(dim=1)
    assert len(set(labels[owner.numpy()])) == 40
    assert torch.equal(chosen, spread_rows(points, 40, rng(0)))
    assert not torch.equal(chosen, spread_rows(points, 40, rng(1)))


def test_kmeans_plus_plus_draws_by_squared_distance():
    # After the row at 0 was drawn, 1 and 3 follow with probabilities 1/10 and 9/10; from each start
    # the second row is thus known, and so is how often {0, 1}, {0, 3} and {1, 3} are drawn.
    points = Points(torch.tensor([[0.0], [1.0], [3.0]]))
    drawn = [tuple(sorted(spread_rows(points, 2, rng(s)).flatten().tolist())) for s in range(1500)]
    chance = {(0, 1): 1 / 10 + 1 / 5, (0, 3): 9 / 10 + 9 / 13, (1, 3): 4 / 5 + 4 / 13}
    for pair, share in chance.items():
        assert drawn.count(pair) / 1500 == pytest.approx(share / 3, abs=0.04)


def test_kmeans_plus_plus_with_few_distinct_rows():
    points = Points(randn(3, 4)[torch.arange(50) % 3])
    assert spread_rows(points, 20, rng(0)).shape == (20, 4)
    assert KMeans(20, init="k-means++").fit(points.source.features, 0).counts.min() >= 1


@pytest.mark.parametrize("kind", ["array", "map", "map of halves", "read-only array"])
def test_arrays_and_memory_maps(kind, tmp_path):
    features = randn(5000, 6).half().float()
    expected = KMeans(8).fit(features, 0)
    given = features.numpy().astype(np.float16 if kind == "map of halves" else np.float32)
    if kind.startswith("map"):
        np.save(tmp_path / "features.npy", given)
        given = np.load(tmp_path / "features.npy", mmap_mode="r")
    elif kind == "read-only array":
        given.flags.writeable = False
    same(KMeans(8).fit(given, 0), expected)


def test_memory_map_is_never_read_as_a_whole(tmp_path, monkeypatch):
    from mmdeepcluster.clustering import row_source

    np.save(tmp_path / "features.npy", randn(9000, 4).numpy())
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    sizes, plain = [], row_source.RowSource._float
    monkeypatch.setattr(
        row_source.RowSource, "_float", lambda s, part: sizes.append(len(part)) or plain(s, part)
    )
    KMeans(5).fit(mapped[:, :3], 0)
    assert sum(sizes) >= 9000 and max(sizes) <= 4096


def test_threads_do_not_matter():
    features = randn(9000, 16)
    expected = KMeans(50, max_iters=6).fit(features, 0)
    torch.set_num_threads(3)
    try:
        same(KMeans(50, max_iters=6).fit(features, 0), expected)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("distinct", [1, 3, 200])
def test_compact_keeps_clusters_that_have_members(make, distinct):
    # R6: 200 points of which only a few are distinct, K = 50.
    features = randn(distinct, 4)[torch.arange(200) % distinct]
    result = make(50, empty="compact").fit(features, 0)
    assert result.counts.min() >= 1 and int(result.counts.sum()) == 200
    assert sorted(result.assignments.unique().tolist()) == list(range(result.num_clusters))
    assert result.centroids.shape == (result.num_clusters, 4)
    if distinct < 50:
        assert result.num_clusters == distinct
        assert result.objective == pytest.approx(0.0, abs=1e-10)


def test_drop_empty_by_hand():
    assert drop_empty(torch.tensor([4, 1, 4, 6]), 8).tolist() == [1, 0, 1, 2]


def test_repair_moves_two_copies_apart():
    centroids = torch.tensor([[1.0, 2.0], [8.0, 4.0], [9.0, 9.0]])
    repaired = repair_centroids(centroids.clone(), torch.tensor([3, 10, 0]), rng(0))
    assert torch.equal(repaired[0], centroids[0])
    torch.testing.assert_close((repaired[1] + repaired[2]) / 2, centroids[1])
    apart = (repaired[2] - repaired[1]).abs() / centroids[1]
    torch.testing.assert_close(apart, torch.full((2,), 2 / 1024), rtol=1e-3, atol=0)


def test_a_lost_centroid_comes_back():
    # Two of three centroids far away from all points; three blobs are still found.
    points, labels = make_blobs(300, 4, centers=3, cluster_std=0.1, random_state=1)
    start = torch.cat([torch.from_numpy(points[:1]), torch.full((2, 4), 1e3)]).float()
    start[2] *= -1
    result = KMeans(3, max_iters=50).fit(torch.from_numpy(points), 0, centroids=start)
    assert adjusted_rand_score(labels, result.assignments) == 1.0


def test_large_clusters_are_split_by_a_sample(monkeypatch):
    from mmdeepcluster.clustering import empty_clusters

    monkeypatch.setattr(empty_clusters, "_SPLIT_SAMPLE", 64)
    features = torch.cat([randn(500, 3) * 0.1, randn(500, 3) * 0.1 + 5])
    labels = split_largest(Points(features), torch.zeros(1000, dtype=torch.int64), 2, rng(0))
    assert adjusted_rand_score(torch.arange(1000) // 500, labels) == 1.0
    equal = split_largest(Points(torch.ones(1000, 3)), torch.zeros(1000).long(), 9, rng(0))
    assert torch.bincount(equal, minlength=9).min() >= 1


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_scale_does_not_matter(scale):
    # A power of two, so that the rows are exactly scaled.
    factor = 2.0 ** round(np.log2(scale))
    first, second = KMeans(6).fit(randn(300, 4), 0), KMeans(6).fit(randn(300, 4) * factor, 0)
    assert torch.equal(first.assignments, second.assignments)


def test_errors(make):
    features, labels = randn(30, 4), torch.zeros(30, dtype=torch.int64)
    with pytest.raises(ValueError, match="5 clusters from 3 samples"):
        make(5).fit(features[:3], 0)
    with pytest.raises(ValueError, match=r"centroids must be \(5, 4\), got \(5, 3\)"):
        make(5).fit(features, 0, centroids=torch.zeros(5, 3))
    with pytest.raises(ValueError, match="centroids hold NaN or infinity in 5 of 5"):
        make(5).fit(features, 0, centroids=torch.full((5, 4), torch.nan))
    with pytest.raises(ValueError, match=r"int64 \(30,\), got torch.int64 \(29,\)"):
        make(5).fit(features, 0, assignments=labels[1:])
    with pytest.raises(ValueError, match=r"lie in \[0, 5\] but there are 5"):
        make(5).fit(features, 0, assignments=torch.arange(30) % 6)
    with pytest.raises(ValueError, match="not both"):
        make(5).fit(features, 0, assignments=labels, centroids=features[:5])
    with pytest.raises(ValueError, match=r"holds rows 0 to 31 of 31.* given 30"):
        make(5).fit(features, 0, share=RowShare(31))
    with pytest.raises(ValueError, match=r"init must be one of .*got 'kmeans'"):
        make(5, init="kmeans")
    with pytest.raises(ValueError, match=r"empty must be one of .*got 'drop'"):
        make(5, empty="drop")


def test_faiss_refuses_several_processes():
    pytest.importorskip("faiss", reason="faiss is an optional extra")
    with pytest.raises(ValueError, match="rows are dealt to 2: use"):
        FaissKMeans(2).fit(randn(10, 2), 0, share=RowShare(10, 0, 2))


def test_without_faiss_the_error_names_the_way_out(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install mmdeepcluster\[faiss\]"):
        FaissKMeans(3)
