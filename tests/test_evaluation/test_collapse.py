"""The alarms of methods.md 4.2 and R69: each fires on its sign, none on a healthy training."""

import math

import pytest
import torch

from mmdeepcluster.evaluation import (
    TrainingSigns,
    cluster_health,
    collapse_warnings,
    feature_spread,
    largest_share_limit,
    num_zero_rows,
    rank_me,
)

EVEN = cluster_health([10] * 100)


def codes(**signs):
    return [warning.code for warning in collapse_warnings(TrainingSigns(**signs))]


def feature_signs(features, num_clusters=100):
    return dict(
        health=cluster_health([10] * num_clusters),
        spread=feature_spread(features),
        rank_me=rank_me(features),
        feature_dim=features.shape[1],
        zero_share=num_zero_rows(features) / len(features),
    )


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_nothing_measured_nothing_said():
    assert codes() == []


@pytest.mark.parametrize("progress", [0.01, 0.05, 0.5, 1.0])
def test_a_healthy_training_is_left_alone(progress):
    change = 0.9 if progress < 0.1 else 0.2
    features = feature_signs(randn(500, 256).relu())
    assert codes(progress=progress, loss=3.0, change_ratio=change, **features) == []


@pytest.mark.parametrize("num_clusters", [2, 5, 10, 64, 1000])
def test_equal_clusters_are_healthy_whatever_their_number(num_clusters):
    assert codes(health=cluster_health([8] * num_clusters)) == []


def test_single_cluster_is_one_warning():
    assert codes(health=cluster_health([0, 0, 50] + [0] * 97)) == ["single_cluster"]
    assert codes(health=cluster_health([0, 50])) == ["single_cluster"]


def test_a_config_with_one_cluster_is_no_collapse():
    assert codes(health=cluster_health([50]), loss=0.0, progress=0.5) == []


def test_giant_cluster():
    # 12 % of the samples in one of 100 clusters, the limit is 10/100
    uneven = cluster_health([120] + [880 // 99] * 99)
    assert codes(health=uneven) == ["giant_cluster"]
    assert "giant_cluster" not in codes(health=cluster_health([95] + [10] * 99))


def test_few_effective_clusters():
    assert codes(health=cluster_health([90] * 11 + [1] * 89)) == ["few_effective_clusters"]


@pytest.mark.parametrize(
    ("num_clusters", "limit"),
    [(2, 0.9), (3, 2 / 3), (4, 0.5), (10, 0.5), (20, 0.5), (40, 0.25), (1000, 0.01)],
)
def test_limit_of_the_largest_share(num_clusters, limit):
    assert largest_share_limit(num_clusters) == pytest.approx(limit)


def test_a_loss_pinned_to_ln_k():
    chance = math.log(100)
    assert codes(health=EVEN, loss=chance + 0.009) == ["uniform_loss"]
    assert codes(health=EVEN, loss=chance - 0.011) == []
    assert codes(health=EVEN, loss=chance, warming_up=True) == []


def test_a_vanished_loss_with_a_giant_cluster():
    giant = cluster_health([9000] + [10] * 99)
    assert "trivial_loss" in codes(health=giant, loss=0.02)
    assert "trivial_loss" not in codes(health=giant, loss=1.0)
    assert codes(health=EVEN, loss=0.02) == []


def test_labels_that_stay_random():
    assert codes(progress=0.2, change_ratio=0.81) == ["random_labels"]
    assert codes(progress=0.1, change_ratio=0.95) == []
    assert codes(progress=0.2, change_ratio=0.79) == []


def test_labels_that_never_move():
    assert codes(progress=0.05, change_ratio=0.001) == ["frozen_labels"]
    assert codes(progress=0.06, change_ratio=0.0) == []
    assert codes(progress=0.02, change_ratio=0.0, labels_frozen=True) == []
    assert codes(progress=0.02, change_ratio=0.0, warming_up=True) == []


def test_constant_features():
    constant = feature_signs(1 + 0.01 * randn(500, 256))
    assert codes(**constant) == ["constant_features", "low_rank_features"]
    assert codes(**constant, warming_up=True) == []


def test_features_of_few_dimensions():
    low = feature_signs(randn(500, 4) @ randn(4, 256, seed=1))
    assert codes(**low) == ["low_rank_features"]


def test_a_low_rank_is_right_for_few_clusters_or_narrow_features():
    low = randn(500, 4) @ randn(4, 256, seed=1)
    assert codes(**feature_signs(low, num_clusters=5)) == []
    assert codes(**feature_signs(randn(500, 4) @ randn(4, 32, seed=1))) == []


def test_zero_features():
    features = randn(500, 256)
    features[:10] = 0
    assert codes(**feature_signs(features)) == ["zero_features"]
    features[:6] = randn(6, 256)
    assert codes(**feature_signs(features)) == []


def test_a_warning_says_what_is_seen_and_what_to_change():
    signs = TrainingSigns(health=EVEN, loss=math.log(100), zero_share=0.25, rank_me=2.5,
                          feature_dim=128, progress=0.5, change_ratio=0.93)  # fmt: skip
    text = {warning.code: str(warning) for warning in collapse_warnings(signs)}
    assert "ln 100 = 4.6052" in text["uniform_loss"]
    assert "25.0% of the samples" in text["zero_features"]
    assert "model.neck.final_relu=False" in text["zero_features"]
    assert "effective rank of 2.5 (limit 10.0)" in text["low_rank_features"]
    assert "93.0% of the labels" in text["random_labels"]
    assert "model.memory.momentum" in text["random_labels"]
    assert "optim_wrapper.optimizer.lr" in text["uniform_loss"]
