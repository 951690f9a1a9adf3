"""What every clusterer promises: K clusters, none empty, seeded, clear refusals (R5, R6, R15)."""

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.registry import CLUSTERERS

# Of 3 groups of 2 blobs, so that two levels have something to find.
REAL = [
    {"type": "KMeans", "init": "k-means++", "num_restarts": 10},
    {"type": "FaissKMeans", "init": "k-means++", "num_restarts": 10},
    {"type": "TwoLevelKMeans", "num_super_clusters": 3, "num_restarts": 10},
    {"type": "PowerIterationClustering"},
]
BASELINES = [{"type": "RandomLabels"}, {"type": "RandomNearest"}]


@pytest.fixture
def build(request):
    if request.param["type"] == "FaissKMeans":
        pytest.importorskip("faiss", reason="faiss is an optional extra")
    return lambda num_clusters: CLUSTERERS.build(request.param | {"num_clusters": num_clusters})


def clusterers(*configs):
    return pytest.mark.parametrize(
        "build", configs, indirect=True, ids=[config["type"] for config in configs]
    )


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(num_samples=360):
    groups = 10 * torch.eye(3, 8)
    centres = torch.cat([groups, groups + torch.randn(3, 8, generator=rng())])
    labels = torch.arange(num_samples) % 6
    return centres[labels] + 0.05 * torch.randn(num_samples, 8, generator=rng(1)), labels


@clusterers(*REAL)
def test_separable_blobs_are_found(build):
    features, labels = blobs()
    for seed in range(3):
        result = build(6).fit(features, seed)
        assert adjusted_rand_score(labels, result.assignments) == 1.0
        torch.testing.assert_close(result.counts, torch.full((6,), 60))
        order = torch.stack([features[result.assignments == c].mean(dim=0) for c in range(6)])
        torch.testing.assert_close(result.centroids, order)


@clusterers(*REAL, *BASELINES)
def test_same_seed_same_labels(build):
    features = l2_normalize(torch.randn(300, 6, generator=rng()))
    first, again, other = (build(12).fit(features, seed).assignments for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@clusterers(*REAL, *BASELINES)
@pytest.mark.parametrize("distinct", [1, 3, 200])
def test_no_cluster_is_empty(build, distinct):
    # R6: 200 rows of which few are distinct, 48 clusters
    features = torch.randn(distinct, 4, generator=rng())[torch.arange(200) % distinct]
    result = build(48).fit(features, seed=0)
    assert len(result.assignments.unique()) == result.num_clusters == 48
    assert result.counts.sum() == 200
    within = (features - result.centroids[result.assignments]).square().sum(dim=1).mean()
    assert result.objective == pytest.approx(float(within), abs=1e-5)


@clusterers(*REAL, *BASELINES)
def test_as_many_clusters_as_rows(build):
    result = build(30).fit(torch.randn(30, 4, generator=rng()).half(), seed=0)
    assert sorted(result.assignments.tolist()) == list(range(30))


@clusterers(*REAL, *BASELINES)
def test_bad_input_is_refused(build):
    features = torch.randn(10, 4, generator=rng())
    with pytest.raises(ValueError, match="12 clusters from 10 samples"):
        build(12).fit(features, 0)
    features[3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 10 rows \(first: \[3\]\)"):
        build(3).fit(features, 0)
    with pytest.raises(ValueError, match=r"num_clusters.*at least 1"):
        build(0)


def test_random_labels_know_nothing_and_are_balanced():
    features, labels = blobs(3600)
    result = CLUSTERERS.build({"type": "RandomLabels", "num_clusters": 7}).fit(features, 0)
    assert abs(adjusted_rand_score(labels, result.assignments)) < 0.01
    assert sorted(set(result.counts.tolist())) == [514, 515]


def test_random_nearest_is_the_nearest_of_k_rows():
    features = torch.randn(200, 5, generator=rng())
    result = CLUSTERERS.build({"type": "RandomNearest", "num_clusters": 9}).fit(features, 0)
    # Of each cluster there is a row to which all others are nearer than to those of other clusters.
    chosen = torch.randperm(200, generator=rng())[:9]
    assert torch.equal(torch.cdist(features, features[chosen]).argmin(dim=1), result.assignments)
    assert result.num_iters == 0
