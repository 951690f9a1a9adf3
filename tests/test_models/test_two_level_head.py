"""Heads of rotations and clusters against plain loops over samples (R56, R57)."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmdeepcluster.models import ClusterHead, ProductHead, TwoLevelHead

B, D, K, M, R = 40, 7, 12, 3, 4


def batch(seed=0, num_clusters=K, num_rotations=R):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(B, D, generator=generator)
    rotations = torch.randint(num_rotations, (B,), generator=generator)
    labels = torch.randint(num_clusters, (B,), generator=generator)
    return features, rotations, labels


def run(head, features, rotations, labels):
    return head(features, head.targets(rotations, labels))


def naive(head, features, rotations, labels):
    """R57 sample by sample: (super, sub, super accuracy, rotation accuracy)."""
    super_loss = sub_loss = right_super = right_rotation = 0.0
    size = K // M
    for x, rotation, label in zip(features, rotations.tolist(), labels.tolist(), strict=True):
        y, z = rotation * M + label // size, label % size
        scores = head.super_fc.weight @ x + head.super_fc.bias
        super_loss = super_loss - F.log_softmax(scores, dim=0)[y]
        inside = head.sub_weight[y] @ x + head.sub_bias[y]
        sub_loss = sub_loss - F.log_softmax(inside, dim=0)[z]
        right_super += float(scores.argmax() == y)
        right_rotation += float(scores.argmax() // M == rotation)
    return super_loss / B, sub_loss / B, right_super / B, right_rotation / B


def spread_weights(head, seed=5):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return head


def test_loss_and_gradients_are_those_of_a_loop_over_samples():
    head = spread_weights(TwoLevelHead(D, K, R, M))
    features, rotations, labels = batch()
    features.requires_grad_()
    found = run(head, features, rotations, labels)
    expected = naive(head, features, rotations, labels)
    names = ("loss_super", "loss_sub", "super_accuracy", "rotation_accuracy")
    for name, value in zip(names, expected, strict=True):
        ours = float(found[name].detach())
        assert ours == pytest.approx(float(torch.as_tensor(value).detach()), rel=1e-6)
    inputs = [features, *head.parameters()]
    ours = torch.autograd.grad(found["loss_super"] + found["loss_sub"], inputs)
    theirs = torch.autograd.grad(expected[0] + expected[1], inputs)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)


def test_classifier_of_an_absent_super_class_has_a_gradient_of_zero():
    head = spread_weights(TwoLevelHead(D, K, R, M))
    features, rotations, labels = batch()
    labels[rotations == 2] %= K // M  # then super-classes (2, 1) and (2, 2) have no sample
    run(head, features, rotations, labels)["loss_sub"].backward()
    norms = head.sub_weight.grad.flatten(1).norm(dim=1).view(R, M)
    present = torch.zeros(R, M, dtype=torch.bool)
    present[rotations, labels // (K // M)] = True
    assert not present[2, 1] and not present[2, 2]
    # there, and zero: processes that average gradients need not know who saw what
    assert torch.equal(norms > 0, present)


def test_rotations_alone_are_rotnet():
    """R57: one cluster, four super-classes; nothing but the rotation is predicted."""
    head = spread_weights(TwoLevelHead(D, 1, R, 1))
    features, rotations, labels = batch(num_clusters=1)
    found = run(head, features, rotations, labels)
    assert found.keys() == {"loss_super", "rotation_accuracy"}
    expected = F.cross_entropy(head.super_fc(features), rotations)
    assert float(found["loss_super"].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert head.chance_loss == pytest.approx(math.log(4))
    assert [p.shape for p in head.parameters()] == [(4, D), (4,)]


def test_one_super_class_is_deepcluster():
    """R57: no rotation, one super-cluster; the loss is that of DeepCluster's linear head."""
    head = spread_weights(TwoLevelHead(D, K, 1, 1))
    plain = ClusterHead(D, K)
    with torch.no_grad():
        plain.fc.weight.copy_(head.sub_weight[0])
        plain.fc.bias.copy_(head.sub_bias[0])
    features, rotations, labels = batch(num_rotations=1)
    found = run(head, features, rotations, labels)
    assert found.keys() == {"loss_sub"}
    expected = F.cross_entropy(plain(features), labels)
    assert float(found["loss_sub"].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_first_loss_is_that_of_a_guess():
    head = TwoLevelHead(D, K, R, M)
    found = run(head, *batch())
    total = float((found["loss_super"] + found["loss_sub"]).detach())
    assert head.chance_loss == pytest.approx(math.log(12) + math.log(4))
    assert total == pytest.approx(head.chance_loss, rel=0.02)


def test_new_weights_do_not_depend_on_where_they_are_held():
    whole = TwoLevelHead(D, K, R, M)
    whole.reset(7)
    assert float(whole.sub_weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(whole.sub_weight[0], whole.sub_weight[1])
    for number in range(R * M):
        part = TwoLevelHead(D, K, R, M, super_class=number)
        part.reset(7)
        assert torch.equal(part.sub_weight[0], whole.sub_weight[number])
        assert torch.equal(part.super_fc.weight, whole.super_fc.weight)
    whole.reset(8)
    assert not torch.equal(part.super_fc.weight, whole.super_fc.weight)


def test_nothing_to_predict_is_refused():
    with pytest.raises(ValueError, match="nothing to predict"):
        TwoLevelHead(D, 1, 1, 1)
    with pytest.raises(ValueError, match=r"num_clusters \(10\) must be a multiple"):
        TwoLevelHead(D, 10, 4, 3)


class TestProduct:
    def test_classes_are_all_pairs(self):
        """R56: rotation * K + cluster is a bijection."""
        head = ProductHead(D, K, R)
        pairs = torch.cartesian_prod(torch.arange(R), torch.arange(K))
        classes = head.targets(pairs[:, 0], pairs[:, 1])
        assert sorted(classes.tolist()) == list(range(R * K))
        assert torch.equal(torch.stack([classes // K, classes % K], dim=1), pairs)

    def test_loss(self):
        head = spread_weights(ProductHead(D, K, R))
        features, rotations, labels = batch()
        found = run(head, features, rotations, labels)
        logits = head.fc(features)
        expected = F.cross_entropy(logits, rotations * K + labels)
        assert float(found["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
        right = (logits.argmax(dim=1) // K == rotations).float().mean()
        assert float(found["rotation_accuracy"]) == float(right)
        assert head.chance_loss == pytest.approx(math.log(48))

    def test_reset(self):
        head = ProductHead(D, K, R)
        head.reset(3)
        first = head.fc.weight.detach().clone()
        head.reset(4)
        assert not torch.equal(first, head.fc.weight)
        head.reset(3)
        assert torch.equal(first, head.fc.weight)
