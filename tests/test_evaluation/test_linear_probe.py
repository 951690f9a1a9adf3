import math

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from mmdeepcluster.evaluation import linear_probe, probe_id
from mmdeepcluster.evaluation.linear_probe import bottou_lr


def blobs(num_samples=300, seed=0):
    """Three classes on three axes, far apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_samples) % 3
    return 3 * torch.eye(5)[labels] + 0.2 * torch.randn(num_samples, 5, generator=generator), labels


@pytest.fixture(scope="module")
def digits():
    """1,000 digits to learn from and 797 to test on."""
    data = load_digits()
    pixels, labels = torch.from_numpy(data.data).float() / 16, torch.from_numpy(data.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order[:1000], order[1000:]
    return pixels[train], labels[train], pixels[test], labels[test]


def test_separable_classes_are_all_right_r41():
    result = linear_probe(*blobs(), *blobs(90, seed=1))
    assert result.accuracy == result.train_accuracy == 1.0
    assert (result.num_train, result.num_test) == (300, 90)
    assert (result.feature_dim, result.num_classes) == (5, 3)
    assert result.protocol == "linear-e20-sgd-lr0.01-bottou-m0.9-wd0.0001-b256" == probe_id()


def test_agrees_with_sklearn_on_digits_r41(digits):
    features, labels, test_features, test_labels = digits
    # sklearn minimises sum(loss) + |w|^2 / (2 C): wd = 1 / (C N)
    exact = LogisticRegression(C=1 / (1e-3 * len(labels)), max_iter=1000)
    exact.fit(features.numpy(), labels.numpy())
    expected = exact.score(test_features.numpy(), test_labels.numpy())
    found = linear_probe(*digits, epochs=100, lr=0.3, weight_decay=1e-3)
    assert found.accuracy == pytest.approx(expected, abs=0.01)
    assert found.accuracy > 0.9


def test_the_loss_is_the_one_that_was_minimised(digits):
    chance = math.log(10)
    one = linear_probe(*digits, epochs=1).loss
    twenty = linear_probe(*digits).loss
    assert twenty < one < chance


def test_the_same_seed_gives_the_same_r41(digits):
    first, second, other = (linear_probe(*digits, epochs=3, seed=seed) for seed in (4, 4, 5))
    assert first == second
    assert first.loss != other.loss


def test_rate_by_hand_r41():
    assert bottou_lr(0.01, 1e-4, 0) == 0.01
    assert bottou_lr(0.5, 0.02, 300) == pytest.approx(0.25)  # 1 + 0.01 * 300 = 4


def test_the_decay_is_used(digits):
    options = dict(epochs=2, lr=0.5, weight_decay=0.1)
    decayed, constant = (
        linear_probe(*digits, **options, lr_decay=name) for name in ("bottou", "none")
    )
    assert decayed.loss != constant.loss
    assert "-none-" in constant.protocol


def test_ids_of_classes_need_not_be_dense_and_unknown_ones_are_wrong():
    features, labels = blobs()
    test_labels = (labels * 7 + 2).clone()
    test_labels[:30] = 1  # a class that no training sample has
    result = linear_probe(features, labels * 7 + 2, features, test_labels)
    assert result.train_accuracy == 1.0
    assert result.accuracy == pytest.approx(0.9)


def test_an_evaluation_without_gradients_can_probe():
    with torch.no_grad():
        assert linear_probe(*blobs(), *blobs(90, seed=1)).accuracy == 1.0


def test_features_are_left_as_they_are():
    features, labels = blobs()
    before = features.clone()
    linear_probe(features, labels, features, labels, epochs=1)
    assert torch.equal(features, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(epochs=0), "epochs must be >= 1, got 0"),
        (dict(batch_size=0), "batch_size must be >= 1, got 0"),
        (dict(lr=0.0), "lr must be > 0, got 0.0"),
        (dict(momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (dict(weight_decay=-1.0), "weight_decay must be >= 0, got -1.0"),
        (dict(lr_decay="step"), r"lr_decay must be one of \('bottou', 'none'\), got 'step'"),
        (dict(lr=1e30), r"diverged .*lower lr=1e\+30"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(*blobs(), *blobs(), **options)


def test_features_that_do_not_fit_are_refused():
    features, labels = blobs()
    with pytest.raises(ValueError, match=r"test_features have 4 dimensions, train_features 5"):
        linear_probe(features, labels, features[:, :4], labels)
    with pytest.raises(ValueError, match=r"test_labels must be one class per row .* \(299,\)"):
        linear_probe(features, labels, features, labels[1:])
    with pytest.raises(ValueError, match=r"train_labels must be integers >= 0, .* minimum -1"):
        linear_probe(features, labels - 1, features, labels)
