import dataclasses
import math

import numpy as np
import pytest
import torch

from mmdeepcluster.evaluation import cluster_health, feature_spread, num_zero_rows, rank_me


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_statistics_by_hand():
    health = cluster_health([4, 0, 2, 2])
    assert (health.num_samples, health.num_clusters, health.num_empty) == (8, 4, 1)
    assert (health.min_size, health.max_size, health.largest_share) == (0, 4, 0.5)
    # entropy of (1/2, 1/4, 1/4) is 1.5 ln 2
    assert health.effective_clusters == pytest.approx(2**1.5)


def test_statistics_match_bincount_r28():
    labels = np.random.default_rng(0).integers(0, 50, 300)
    counts = np.bincount(labels, minlength=60)
    health = cluster_health(counts)
    sizes = [int((labels == cluster).sum()) for cluster in range(60)]
    assert health.num_empty == sizes.count(0)
    assert (health.min_size, health.max_size) == (min(sizes), max(sizes))
    assert health.largest_share == max(sizes) / 300
    assert health.num_samples == 300


def test_effective_clusters_are_k_if_equal_and_1_if_single():
    assert cluster_health([7] * 13).effective_clusters == pytest.approx(13)
    assert cluster_health([0, 9, 0]).effective_clusters == pytest.approx(1)


def test_log_keys_and_histogram():
    health = cluster_health(torch.tensor([0, 1, 1, 10]))
    assert health.as_dict() == {
        "num_empty": 1,
        "min_size": 0,
        "max_size": 10,
        "largest_share": 10 / 12,
        "effective_clusters": health.effective_clusters,
    }
    numbers, limits = health.histogram(2)
    assert numbers.tolist() == [3, 1]
    assert limits.tolist() == [0, 5, 10]


def test_health_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cluster_health([1, 2]).num_empty = 3


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], r"one number per cluster \(K,\), got shape \(0,\)"),
        ([[1, 2]], r"got shape \(1, 2\)"),
        ([3, -1], "whole numbers >= 0, got values from -1 to 3"),
        ([0.5, 1], r"whole numbers >= 0, got values from 0\.5"),
        ([0, 0], "no sample in any of 2 clusters"),
    ],
)
def test_senseless_counts_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        cluster_health(counts)


def test_rank_me_counts_orthogonal_directions():
    assert rank_me(torch.eye(8)) == pytest.approx(8, rel=1e-4)
    assert rank_me(torch.diag(torch.tensor([2.0, 1.0, 1.0]))) == pytest.approx(2**1.5, rel=1e-4)


def test_rank_me_of_collapsed_and_healthy_features_r69():
    direction = randn(64)
    assert rank_me(randn(200, 1).abs() * direction) == pytest.approx(1, abs=0.01)
    assert rank_me(randn(200, 3) @ randn(3, 64)) < 3.1
    assert rank_me(randn(2000, 64)) > 60
    assert rank_me(torch.zeros(5, 4)) == 0


def test_rank_me_of_a_large_set_is_that_of_a_seeded_subset():
    features = randn(300, 16)
    assert rank_me(features, max_rows=50, seed=1) == rank_me(features, max_rows=50, seed=1)
    assert rank_me(features, max_rows=50, seed=1) != rank_me(features, max_rows=50, seed=2)
    assert rank_me(features, max_rows=300) == rank_me(features)
    with pytest.raises(ValueError, match="max_rows must be >= 1, got 0"):
        rank_me(features, max_rows=0)


def test_spread_is_about_one_for_isotropic_features_of_any_scale_and_width():
    for width in (8, 512):
        features = randn(4000, width)
        assert feature_spread(features) == pytest.approx(1, abs=0.02)
        assert feature_spread(100 * features) == pytest.approx(feature_spread(features), abs=1e-5)


def test_spread_by_hand_and_collapsed():
    # rows (1, 0) and (0, 1): a deviation of 1/2 in both dimensions
    assert feature_spread(torch.tensor([[3.0, 0.0], [0.0, 5.0]])) == pytest.approx(math.sqrt(0.5))
    assert feature_spread(randn(16).repeat(10, 1)) == pytest.approx(0, abs=1e-6)
    # nearly one direction: mean cosine about 0.99, spread about sqrt(1 - 0.99)
    assert feature_spread(1 + 0.1 * randn(1000, 256)) == pytest.approx(0.1, abs=0.01)


def test_zero_rows_are_counted():
    features = randn(6, 4)
    features[[1, 4]] = 0
    features[2, :3] = 0
    assert num_zero_rows(features) == 2


@pytest.mark.parametrize("measure", [rank_me, feature_spread, num_zero_rows])
def test_features_that_are_not_finite_are_refused(measure):
    features = randn(6, 4)
    features[3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 6 rows \(first: \[3\]\)"):
        measure(features)
    with pytest.raises(ValueError, match=r"matrix \(N, D\)"):
        measure(randn(4))
