"""k-means: hand-made cases, scikit-learn and faiss as references, no empty cluster (R5, R6)."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from mmdeepcluster.clustering import ClusterResult, FaissKMeans, KMeans


def blobs(num_samples=600, num_clusters=6, dim=8, seed=0):
    points, labels = make_blobs(
        num_samples, dim, centers=num_clusters, cluster_std=0.1, random_state=seed
    )
    return torch.from_numpy(points).float(), labels


CLUSTERERS = [pytest.param(KMeans, id="torch"), pytest.param(FaissKMeans, id="faiss")]


@pytest.fixture
def make(request):
    if request.param is FaissKMeans:
        pytest.importorskip("faiss", reason="faiss is an optional extra")
    return request.param


def test_four_points_by_hand():
    # Two pairs at distance 2: whatever the start, the means are (0, 1) and (10, 1) once each pair
    # is one cluster; every point is then at squared distance 1.
    points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    for seed in range(8):
        result = KMeans(2, num_restarts=4).fit(points, seed)
        order = result.centroids[:, 0].argsort()
        torch.testing.assert_close(result.centroids[order], torch.tensor([[0.0, 1.0], [10.0, 1.0]]))
        assert result.counts.tolist() == [2, 2]
        assert result.objective == pytest.approx(1.0)


@pytest.mark.parametrize("make", CLUSTERERS, indirect=True)
def test_separable_blobs_are_found(make):
    features, labels = blobs()
    result = make(6, num_restarts=10).fit(features, seed=1)
    assert adjusted_rand_score(labels, result.assignments.numpy()) == 1.0
    assert result.num_clusters == 6 and result.num_samples == 600


@pytest.mark.parametrize("make", CLUSTERERS, indirect=True)
def test_same_seed_same_labels(make):
    features = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    first, again, other = (make(20).fit(features, seed=s).assignments for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fixed_point_is_that_of_sklearn():
    # From the same start both run Lloyd's algorithm to its end: same labels, same objective.
    features, _ = blobs(400, 5, seed=3)
    result = KMeans(5, max_iters=300).fit(features, seed=0)
    reference = SklearnKMeans(5, init=result.centroids.numpy(), n_init=1, tol=0, max_iter=300).fit(
        features.numpy()
    )
    assert adjusted_rand_score(reference.labels_, result.assignments.numpy()) == 1.0
    assert result.objective == pytest.approx(reference.inertia_ / 400, rel=1e-5)


def test_objective_agrees_with_faiss():
    pytest.importorskip("faiss", reason="faiss is an optional extra")
    features = torch.nn.functional.normalize(
        torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    )
    ours = np.mean([KMeans(40).fit(features, seed).objective for seed in range(3)])
    faiss = np.mean([FaissKMeans(40).fit(features, seed).objective for seed in range(3)])
    assert ours == pytest.approx(faiss, rel=0.01)


def test_objective_does_not_increase_with_iterations():
    features = torch.randn(800, 8, generator=torch.Generator().manual_seed(1))
    objectives = [KMeans(15, max_iters=n).fit(features, 0).objective for n in (1, 2, 4, 8, 16, 32)]
    assert all(late <= early + 1e-9 for early, late in pairwise(objectives))


@pytest.mark.parametrize("make", CLUSTERERS, indirect=True)
@pytest.mark.parametrize("distinct", [1, 3, 200])
def test_no_cluster_is_empty(make, distinct):
    # R6: 200 points of which only a few are distinct, 50 clusters.
    base = torch.randn(distinct, 4, generator=torch.Generator().manual_seed(0))
    features = base[torch.arange(200) % distinct]
    result = make(50).fit(features, seed=0)
    assert result.counts.min() >= 1
    assert result.counts.sum() == 200
    assert len(result.assignments.unique()) == 50


@pytest.mark.parametrize("make", CLUSTERERS, indirect=True)
def test_as_many_clusters_as_points(make):
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    result = make(30).fit(features, seed=0)
    assert sorted(result.assignments.tolist()) == list(range(30))
    assert result.objective == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("make", CLUSTERERS, indirect=True)
def test_bad_input_is_refused(make):
    features = torch.randn(10, 4)
    with pytest.raises(ValueError, match="11 clusters from 10 samples"):
        make(11).fit(features, 0)
    features[3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 10 rows \(first: \[3\]\)"):
        make(2).fit(features, 0)
    with pytest.raises(ValueError, match="num_clusters must be at least 1, got 0"):
        make(0)


def test_half_precision_and_zero_rows():
    features = torch.randn(100, 8, generator=torch.Generator().manual_seed(0)).half()
    features[:10] = 0
    result = KMeans(5).fit(features, 0)
    assert result.centroids.dtype == torch.float32
    assert len(result.assignments[:10].unique()) == 1


class TestClusterResult:
    def good(self, **changes):
        values = {
            "assignments": torch.tensor([0, 1, 1]),
            "centroids": torch.zeros(2, 3),
            "counts": torch.tensor([1, 2]),
            "objective": 0.0,
            "num_iters": 1,
        }
        return ClusterResult(**(values | changes))

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            self.good().objective = 1.0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"assignments": torch.tensor([0, 1, 1], dtype=torch.int32)}, "int64"),
            ({"assignments": torch.tensor([0, 1, 2])}, r"lie in \[0, 2\]"),
            ({"counts": torch.tensor([2, 1])}, "not the sizes"),
            ({"counts": torch.tensor([1, 2, 0])}, "centroids must be"),
            (
                {"assignments": torch.tensor([1, 1, 1]), "counts": torch.tensor([0, 3])},
                "1 of 2 clusters are empty",
            ),
        ],
    )
    def test_contract(self, changes, message):
        with pytest.raises(ValueError, match=message):
            self.good(**changes)
