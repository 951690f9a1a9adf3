"""DeepCluster: what a cycle does to labels, head and state (R2, R6, R7, R9, R12)."""

import math

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.models import DeepCluster
from mmdeepcluster.registry import ALGORITHMS

N, K = 120, 6


def build(**changes):
    torch.manual_seed(0)
    config = {
        "type": "DeepCluster",
        "num_samples": N,
        "num_clusters": K,
        "backbone": {"type": "LeNet5", "in_channels": 1},
        "neck": {"type": "AveragePoolNeck"},
        "head": {"type": "ClusterHead"},
        "clusterer": {"type": "KMeans", "num_restarts": 10},
    }
    return ALGORITHMS.build(config | changes)


def features(seed=0, noise=0.05):
    """Rows around K directions, the first N / K of the first and so on."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(K, 84, generator=generator)
    rows = centers.repeat_interleave(N // K, dim=0)
    return rows + noise * torch.randn(N, 84, generator=generator)


def same_partition(first, second):
    pairs = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


TRUTH = torch.arange(K).repeat_interleave(N // K)


def test_labels_are_those_of_the_clustering():
    algorithm = build()
    assert not algorithm.initialized and algorithm.snapshot_labels()[0] is None
    result = algorithm.recluster(features(), seed=1)
    assert same_partition(algorithm.labels(), TRUTH)
    assert algorithm.cycle == 1 and algorithm.initialized
    assert algorithm.cluster_counts.tolist() == [N // K] * K
    # mean squared distance in the space that was clustered, unit rows
    rows = l2_normalize(features())
    means = torch.stack([rows[c == TRUTH].mean(dim=0) for c in range(K)])
    expected = float((rows - means[TRUTH]).square().sum(dim=1).mean())
    assert result.objective == pytest.approx(expected, rel=1e-4)
    assert result.seconds.keys() == {"PCA", "k-means", "assign"}


def test_first_loss_is_log_k_and_uses_the_labels_of_now():
    algorithm = build()
    images = torch.randn(32, 1, 32, 32)
    with pytest.raises(RuntimeError, match="EpochClusteringHook"):
        algorithm.loss(images, torch.arange(32))
    algorithm.recluster(features(), seed=0)
    algorithm.eval()
    loss = algorithm.loss(images, torch.arange(32))["loss"].detach()
    assert float(loss) == pytest.approx(math.log(K), rel=0.02)
    seen = algorithm.extract(images, ("neck",))["neck"]
    assert bool((seen < 0).any())  # R2: features before the ReLU, logits after it
    logits = algorithm.head(seen.clamp_min(0)).detach()
    expected = torch.nn.functional.cross_entropy(logits, algorithm.labels()[:32])
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


class TestHead:
    def test_random_start_is_that_of_r9(self):
        algorithm = build(num_clusters=100)
        before = algorithm.head.fc.weight.detach().clone()
        result = algorithm.recluster(torch.randn(N, 84), seed=3)
        weight = algorithm.head.fc.weight.detach()
        assert not torch.equal(weight, before)
        assert abs(float(weight.std()) - 0.01) < 5e-4 and not bool(algorithm.head.fc.bias.any())
        assert {id(p) for p in result.rewritten} == {id(p) for p in algorithm.head.parameters()}

    def test_centroids_make_a_classifier(self):
        algorithm = build(head_start="centroids")
        algorithm.recluster(features(), seed=0)
        logits = algorithm.head(features().clamp_min(0))
        assert torch.equal(logits.argmax(dim=1), algorithm.labels())
        norms = algorithm.head.fc.weight.norm(dim=1)
        assert norms.tolist() == pytest.approx([0.01 * math.sqrt(84)] * K)

    def test_matched_ids_keep_the_head(self):
        algorithm = build(head_start="matched")
        first = algorithm.recluster(features(), seed=0)
        labels, weight = algorithm.labels(), algorithm.head.fc.weight.clone()
        second = algorithm.recluster(features(seed=0, noise=0.06), seed=7)
        assert torch.equal(algorithm.labels(), labels)
        assert torch.equal(algorithm.head.fc.weight, weight)
        assert first.rewritten and not second.rewritten

    def test_without_matching_ids_are_new(self):
        algorithm = build()
        algorithm.recluster(features(), seed=0)
        labels = algorithm.labels()
        algorithm.recluster(features(), seed=7)
        assert same_partition(labels, algorithm.labels())
        assert not torch.equal(labels, algorithm.labels())


def test_warm_start_takes_fewer_iterations():
    # rows without structure, in which k-means needs many iterations
    rows = torch.randn(N, 84, generator=torch.Generator().manual_seed(0))
    options = {"clusterer": {"type": "KMeans"}}
    cold, warm = build(**options), build(warm_start=True, **options)
    assert cold.recluster(rows, seed=0).num_iters == warm.recluster(rows, seed=0).num_iters > 2
    # the same partition after a turn of the space
    turn = torch.linalg.qr(torch.randn(84, 84, generator=torch.Generator().manual_seed(1)))[0]
    before = warm.labels()
    assert warm.recluster(rows @ turn, seed=5).num_iters <= 2
    assert torch.equal(warm.labels(), before)
    assert cold.recluster(rows @ turn, seed=5).num_iters > 2


def test_halted_cycle_keeps_the_labels():
    algorithm = build()
    algorithm.recluster(features(), seed=0)
    labels, weight = algorithm.labels(), algorithm.head.fc.weight.clone()
    algorithm.keep_clustering()
    before, now = algorithm.snapshot_labels()
    assert torch.equal(before, labels) and torch.equal(now, labels) and algorithm.cycle == 2
    assert torch.equal(algorithm.head.fc.weight, weight)


def test_state_round_trip():
    algorithm, other = build(), build()
    algorithm.recluster(features(), seed=0)
    algorithm.recluster(features(seed=1), seed=1)
    algorithm.finalize(features(seed=1), algorithm.labels())
    state = {name: value.clone() for name, value in algorithm.cluster_state().items()}
    other.load_cluster_state(state)
    again = other.cluster_state()
    assert state.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in state.items())
    assert other.cycle == 2
    state["labels"] = state["labels"].roll(1)
    state["counts"] = state["counts"].clone()
    state["counts"][0] += 1
    with pytest.raises(ValueError, match="disagree: damaged"):
        build().load_cluster_state(state)


def test_finalize_answers_for_new_features():
    algorithm = build(feature_transform={"type": "PCAWhitening", "dim": 8})
    algorithm.recluster(features(), seed=0)
    assigner = algorithm.finalize(features(), algorithm.labels())
    assert assigner.feature_dim == 84 and assigner.num_clusters == K
    assert torch.equal(assigner.assign(features()).cluster, algorithm.labels())
    new = features(seed=0, noise=0.1)
    assert torch.equal(assigner.assign(new).cluster, algorithm.labels())


def test_two_hundred_equal_features():
    # R6: no empty cluster reaches the head
    algorithm = build(num_samples=200, num_clusters=50)
    algorithm.recluster(torch.ones(200, 84), seed=0)
    assert int(algorithm.cluster_counts.min()) >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_start": "zero"}, "model.head_start must be one of"),
        (
            {"warm_start": True, "clusterer": {"type": "RandomLabels"}},
            r"warm_start=True needs a clusterer that starts from a partition; RandomLabels",
        ),
        (
            {"feature_transform": {"type": "PCAWhitening", "dim": 85}},
            "feature_transform.dim=85 is more than the 84 dimensions",
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_other_numbers_of_clusters_are_refused():
    class TooFew:
        def fit(self, features, seed):
            from mmdeepcluster.clustering import KMeans

            return KMeans(K - 1).fit(features, seed)

    algorithm = build()
    algorithm.clusterer = TooFew()
    with pytest.raises(ValueError, match="found 5 clusters, the head has 6"):
        algorithm.recluster(features(), seed=0)


def test_sample_of_features_is_of_unit_length():
    algorithm = build()
    assert isinstance(algorithm, DeepCluster)
    algorithm.recluster(features(), seed=0)
    sample = algorithm.feature_sample(50, seed=0)
    assert sample.shape == (50, 84)
    assert sample.norm(dim=1).numpy() == pytest.approx(np.ones(50), abs=1e-5)
