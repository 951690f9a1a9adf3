"""Loss re-weighting (R45, P1, P12)."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmdeepcluster.models.losses import ClassBalancedCrossEntropy, sample_weights


def batch(num_clusters=50, size=64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, num_clusters, generator=rng)
    return logits, torch.randint(num_clusters, (size,), generator=rng)


def test_weights_by_hand():
    # N_c = (4, 16), power 0.5: 1/2 to 1/4
    weights = sample_weights(torch.tensor([4, 16]), torch.tensor([0, 1]), 0.5)
    assert (weights[0] / weights[1]).item() == pytest.approx(2.0)
    weights = sample_weights(torch.tensor([4, 16]), torch.tensor([0, 1]), 1.0)
    assert (weights[0] / weights[1]).item() == pytest.approx(4.0)


def test_equal_clusters_give_exactly_the_plain_cross_entropy():
    logits, targets = batch()
    loss = ClassBalancedCrossEntropy()(logits, targets, torch.full((50,), 36))
    assert torch.equal(loss, F.cross_entropy(logits, targets))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_is_the_weighted_mean_of_torch(power):
    # torch divides by the sum of the weights of the targets, as R45 demands.
    logits, targets = batch()
    counts = torch.randint(1, 500, (50,), generator=torch.Generator().manual_seed(3))
    loss = ClassBalancedCrossEntropy(power)(logits, targets, counts)
    weight = counts.float() ** -power
    torch.testing.assert_close(loss, F.cross_entropy(logits, targets, weight=weight))


@pytest.mark.parametrize("num_clusters", [50, 10_000])
def test_first_loss_is_log_k_whatever_the_sizes(num_clusters):
    # P1: the port of 2023 gave ln(K) / K
    counts = torch.randint(1, 500, (num_clusters,), generator=torch.Generator().manual_seed(0))
    targets = torch.randint(num_clusters, (256,), generator=torch.Generator().manual_seed(1))
    loss = ClassBalancedCrossEntropy()(torch.zeros(256, num_clusters), targets, counts)
    assert loss.item() == pytest.approx(math.log(num_clusters), rel=1e-5)


def test_an_empty_cluster_has_a_finite_weight():
    weights = sample_weights(torch.tensor([0, 10]), torch.tensor([0, 1]), 0.5)
    assert torch.isfinite(weights).all()


def test_power_is_honoured():
    logits, targets = batch()
    counts = torch.arange(1, 51) ** 2
    losses = {ClassBalancedCrossEntropy(p)(logits, targets, counts).item() for p in (0, 0.5, 1)}
    assert len(losses) == 3
    with pytest.raises(ValueError, match=r"model.loss.power must be at least 0, got -1"):
        ClassBalancedCrossEntropy(-1)
