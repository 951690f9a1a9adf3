import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from mmdeepcluster.evaluation import (
    adjusted_mutual_info,
    adjusted_rand,
    cluster_metrics,
    clustering_scores,
    hungarian_accuracy,
    label_change_ratio,
    normalized_mutual_info,
)

PAIRWISE = [
    normalized_mutual_info,
    adjusted_mutual_info,
    adjusted_rand,
    hungarian_accuracy,
    clustering_scores,
    label_change_ratio,
]


def random_ids(seed, num_samples=500, num_clusters=7):
    return np.random.default_rng(seed).integers(0, num_clusters, num_samples)


def test_nmi_by_hand():
    # a halves 4 samples, b has one of four apart: I = 3/4 ln(4/3) + ... worked out below
    a, b = [0, 0, 1, 1], [0, 0, 0, 1]
    mutual = 0.5 * math.log(0.5 / (0.5 * 0.75)) + 0.25 * math.log(0.25 / (0.5 * 0.75))
    mutual += 0.25 * math.log(0.25 / (0.5 * 0.25))
    entropies = math.log(2) - 0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert normalized_mutual_info(a, b) == pytest.approx(2 * mutual / entropies, abs=1e-12)


def test_nmi_of_r25():
    ids = random_ids(0)
    renamed = np.array([3, 6, 0, 5, 1, 2, 4])[ids]
    assert normalized_mutual_info(ids, ids) == pytest.approx(1)
    assert normalized_mutual_info(ids, renamed) == pytest.approx(1)
    assert normalized_mutual_info(random_ids(1, 50_000), random_ids(2, 50_000)) < 0.01


@pytest.mark.parametrize("clusters", [2, 20, 300])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (normalized_mutual_info, metrics.normalized_mutual_info_score),
        (adjusted_mutual_info, metrics.adjusted_mutual_info_score),
        (adjusted_rand, metrics.adjusted_rand_score),
    ],
)
def test_equal_to_sklearn(ours, theirs, clusters):
    a, b = random_ids(3, 400, clusters), random_ids(4, 400, 5)
    assert ours(a, b) == pytest.approx(theirs(a, b), abs=1e-8)


@pytest.mark.parametrize("score", [normalized_mutual_info, adjusted_mutual_info, adjusted_rand])
def test_two_single_clusters_are_no_agreement_r25_guard(score):
    assert math.isnan(score([4, 4, 4], [0, 0, 0]))
    assert score([4, 4, 4], [0, 1, 1]) == pytest.approx(0)


def test_hungarian_accuracy_by_hand():
    # cluster 5 -> class 1 (2 of 3), cluster 9 -> class 0 (2 of 2): 4 of 5
    assert hungarian_accuracy([5, 5, 5, 9, 9], [1, 1, 0, 0, 0]) == pytest.approx(4 / 5)


def test_hungarian_accuracy_needs_the_best_matching_not_the_greedy_one():
    # table [[3, 2], [3, 0]]: the majority of cluster 0 is class 0, the best total takes class 1
    clusters = [0] * 5 + [1] * 3
    labels = [0, 0, 0, 1, 1, 0, 0, 0]
    assert hungarian_accuracy(clusters, labels) == pytest.approx(5 / 8)


def test_surplus_clusters_or_classes_count_as_wrong():
    assert hungarian_accuracy([0, 1, 2, 3], [0, 0, 1, 1]) == pytest.approx(0.5)
    assert hungarian_accuracy([0, 0, 1, 1], [0, 1, 2, 3]) == pytest.approx(0.5)


def test_too_many_clusters_to_match(monkeypatch):
    monkeypatch.setattr(cluster_metrics, "MAX_HUNGARIAN_CLUSTERS", 3)
    with pytest.raises(ValueError, match=r"4 clusters with 2 classes .* the limit is 3"):
        hungarian_accuracy([0, 1, 2, 3], [0, 0, 1, 1])
    scores = clustering_scores([0, 1, 2, 3], [0, 0, 1, 1])
    assert math.isnan(scores["accuracy"])
    assert scores["nmi"] == pytest.approx(2 / 3)


def test_clustering_scores_r68():
    clusters, labels = random_ids(5), random_ids(6, num_clusters=4)
    assert clustering_scores(clusters, labels) == {
        "nmi": normalized_mutual_info(clusters, labels),
        "ami": adjusted_mutual_info(clusters, labels),
        "ari": adjusted_rand(clusters, labels),
        "accuracy": hungarian_accuracy(clusters, labels),
    }
    assert clustering_scores(labels, labels) == pytest.approx(
        dict(nmi=1.0, ami=1.0, ari=1.0, accuracy=1.0)
    )


def test_label_change_ratio_of_r27():
    before = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])
    after = torch.tensor([0, 1, 2, 3, 4, 0, 0, 0])
    assert label_change_ratio(before, after) == 0.375
    assert label_change_ratio(before, before) == 0


@pytest.mark.parametrize("score", PAIRWISE)
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([0, 1, 2], [0, 1], "same samples, got 3 and 2"),
        ([], [], "are empty"),
        ([0, 1], [0, -1], r"must not be negative.* is 0, of .* -1"),
        ([0.5, 1.0], [0, 1], "must be integers, got float64"),
        ([[0, 1]], [0, 1], r"one number per sample \(N,\), got shape \(1, 2\)"),
    ],
)
def test_senseless_ids_are_refused(score, first, second, message):
    with pytest.raises(ValueError, match=message):
        score(first, second)
