import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mutual_info_score

from mmdeepcluster.evaluation import cluster_entropies


def test_pure_clusters_have_no_entropy_and_no_noise_r29():
    result = cluster_entropies([0, 0, 1, 1, 1, 4], [7, 7, 2, 2, 2, 2])
    assert result.clusters.tolist() == [0, 1, 4]
    assert result.counts.tolist() == [2, 3, 1]
    assert result.entropies.tolist() == [0, 0, 0]
    assert result.noise.tolist() == [0, 0, 0]
    assert not np.signbit(result.entropies).any()
    assert result.mean_entropy == result.mean_noise == 0


def test_mixed_clusters_by_hand_r29():
    # cluster 3: labels a b in halves; cluster 8: three a, one c; cluster 9: pure
    result = cluster_entropies([3, 3, 8, 8, 8, 8, 9], [0, 1, 0, 0, 2, 0, 1])
    mixed = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert result.entropies == pytest.approx([math.log(2), mixed, 0], abs=1e-12)
    assert result.noise == pytest.approx([0.5, 0.25, 0])
    # each cluster counts once, not once per sample
    assert result.mean_entropy == pytest.approx((math.log(2) + mixed) / 3)
    assert result.mean_noise == pytest.approx(0.25)


def test_one_cluster_of_all_is_as_mixed_as_the_labels():
    result = cluster_entropies(np.zeros(40, int), np.arange(40) % 10)
    assert result.mean_entropy == pytest.approx(math.log(10))
    assert result.mean_noise == pytest.approx(0.9)


def test_equal_to_scipy_and_to_the_conditional_entropy():
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 40, 900), rng.integers(5, 17, 900) * 3
    result = cluster_entropies(clusters, labels)
    for cluster, entropy in zip(result.clusters, result.entropies, strict=True):
        assert entropy == pytest.approx(stats.entropy(np.bincount(labels[clusters == cluster])))
    # H(Y|C) = H(Y) - I(Y; C)
    conditional = stats.entropy(np.bincount(labels)) - mutual_info_score(labels, clusters)
    assert np.average(result.entropies, weights=result.counts) == pytest.approx(conditional)


@pytest.mark.parametrize(
    ("assignments", "labels", "message"),
    [
        ([0, 1], [0], "must describe the same samples, got 2 and 1"),
        ([], [], "are empty"),
        ([0, -1], [0, 1], "the smallest of assignments is -1"),
        ([0.5, 1.0], [0, 1], "assignments must be integers"),
    ],
)
def test_senseless_input_is_refused(assignments, labels, message):
    with pytest.raises(ValueError, match=message):
        cluster_entropies(assignments, labels)
