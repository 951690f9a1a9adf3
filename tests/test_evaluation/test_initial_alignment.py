import math

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from mmdeepcluster.evaluation import alignment, select_by_ia, summarize_alignments


def test_measures_are_those_of_sklearn_r30():
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 40, 600), rng.integers(0, 7, 600)
    found = alignment(clusters, labels)
    for name, average in (("nmi", "arithmetic"), ("nmi_geometric", "geometric")):
        expected = normalized_mutual_info_score(labels, clusters, average_method=average)
        assert getattr(found, name) == pytest.approx(expected, abs=1e-12)
    assert found.nmi_geometric > found.nmi  # a geometric mean is the smaller one
    assert found.nmi_above_chance == pytest.approx(found.nmi - found.nmi_permuted)


def test_chance_lifts_nmi_alone_r32():
    # 20,000 random labels of 10 classes: NMI grows with K, what is corrected stays at 0
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 20_000)
    found = [alignment(rng.integers(0, k, 20_000), labels, 2) for k in (10, 500, 5000)]
    nmi = [each.nmi for each in found]
    assert nmi[0] < 0.001 and nmi == sorted(nmi) and nmi[2] > 0.15
    for each in found:
        assert abs(each.ami) < 0.002
        assert abs(each.nmi_above_chance) < 0.002


def test_the_correction_can_change_a_ranking_r32():
    # ten good clusters against the same chopped into many and mixed
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 3000)
    noisy = np.where(rng.random(3000) < 0.78, rng.integers(0, 10, 3000), labels)
    coarse, fine = alignment(noisy, labels), alignment(rng.integers(0, 1000, 3000), labels)
    assert fine.nmi > coarse.nmi
    assert fine.ami < coarse.ami and fine.nmi_above_chance < coarse.nmi_above_chance


def test_the_same_seed_shuffles_alike():
    clusters, labels = np.arange(200) % 9, np.arange(200) % 4
    assert alignment(clusters, labels, seed=3) == alignment(clusters, labels, seed=3)
    assert alignment(clusters, labels, seed=3) != alignment(clusters, labels, seed=4)


def test_a_single_cluster_and_class_is_no_alignment():
    assert math.isnan(alignment([1, 1, 1], [0, 0, 0]).nmi)
    with pytest.raises(ValueError, match="num_permutations must be >= 1, got 0"):
        alignment([0, 1], [0, 1], num_permutations=0)


def test_distribution_by_hand_r31():
    rows = [
        {"num_clusters": k, "nmi": v, "nmi_geometric": 0, "ami": -v, "nmi_above_chance": 0}
        for k, v in ((20, 0.1), (5, 0.4), (20, 0.3), (20, 0.8))
    ]
    found = summarize_alignments(rows)
    assert list(found) == [5, 20]
    assert found[20]["num_seeds"] == 3
    expected = {"min": 0.1, "median": 0.3, "mean": 0.4, "max": 0.8}
    assert found[20]["nmi"] == pytest.approx(expected)
    assert found[20]["ami"]["min"] == -0.8
    assert found[5]["nmi"]["median"] == 0.4


def test_ranking_is_by_the_median_r39():
    samples = {"a": [0.1, 0.1, 0.9], "b": [0.2, 0.3, 0.0], "c": [0.3, 0.1, 0.5]}
    assert select_by_ia(samples) == [("c", 0.3), ("b", 0.2), ("a", 0.1)]
    with pytest.raises(ValueError, match="value 32 has no finite alignment"):
        select_by_ia({64: [0.1], 32: []})
    with pytest.raises(ValueError, match="value 32 has no finite alignment"):
        select_by_ia({32: [float("nan")]})
    with pytest.raises(ValueError, match="no value to choose from"):
        select_by_ia({})
