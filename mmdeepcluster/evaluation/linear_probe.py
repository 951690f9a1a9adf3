"""A linear classifier on features that were extracted once: the network cannot change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdeepcluster.evaluation.knn import check_labelled

LrDecay = Literal["bottou", "none"]
LR_DECAYS: tuple[LrDecay, ...] = ("bottou", "none")


@dataclass(frozen=True)
class ProbeResult:
    """What a linear probe found.

    Attributes:
        accuracy: Share of test samples that get their class, 0 to 1.
        train_accuracy: The same for the training samples.
        loss: Mean cross-entropy of the training samples at the end, in nats.
        protocol: Name of the protocol; figures of different ones do not compare.
        num_train: Training samples.
        num_test: Test samples.
        feature_dim: Width of the features.
        num_classes: Classes of the training samples.
    """

    accuracy: float
    train_accuracy: float
    loss: float
    protocol: str
    num_train: int
    num_test: int
    feature_dim: int
    num_classes: int


def probe_id(
    epochs: int = 20,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    batch_size: int = 256,
    lr_decay: LrDecay = "bottou",
) -> str:
    """Name of the protocol of :func:`linear_probe`; the defaults are those of R41."""
    return (
        f"linear-e{epochs}-sgd-lr{lr:g}-{lr_decay}-m{momentum:g}-wd{weight_decay:g}-b{batch_size}"
    )


def bottou_lr(lr: float, weight_decay: float, iteration: int) -> float:
    """Rate ``lr / sqrt(1 + lr * weight_decay * t)`` of iteration t, from 0, as in DeepCluster."""
    return lr / math.sqrt(1 + lr * weight_decay * iteration)


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    epochs: int = 20,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    batch_size: int = 256,
    lr_decay: LrDecay = "bottou",
    seed: int = 0,
) -> ProbeResult:
    """Multinomial logistic regression by SGD, the probe of the "Deep Dive" study [0] (R41).

    The features are taken as they are, not standardised, in fp32 on the device they lie on. The
    study probes the flattened maps of the last convolution, ``relu_5.flat`` of ``AlexNetMicro``
    (512) and ``conv_2.flat`` of ``LeNet5`` (1600), of a network in evaluation mode.

    - [0]: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 3.3; the
      numbers are those of the authors' code.

    Args:
        train_features: Features (N, D).
        train_labels: Their classes, int64 (N,), non-negative.
        test_features: Features (M, D).
        test_labels: Their classes, int64 (M,). A class without training sample is never right.
        epochs: Passes over the training features.
        lr: Learning rate at the start.
        momentum: Momentum of SGD.
        weight_decay: L2 penalty of weights and biases.
        batch_size: Features per step; the last batch of an epoch may be smaller.
        lr_decay: ``bottou``, see :func:`bottou_lr`, or ``none``.
        seed: Seed of the start and of the order of the samples.

    Returns:
        Accuracy with the protocol it was measured by.

    Raises:
        ValueError: If shapes do not fit, features are not finite, a label is negative, an option
            is out of range, or the training diverged.
    """
    check_labelled(train_features, train_labels, "train")
    check_labelled(test_features, test_labels, "test")
    if test_features.shape[1] != train_features.shape[1]:
        raise ValueError(
            f"test_features have {test_features.shape[1]} dimensions, train_features "
            f"{train_features.shape[1]}: extract both from the same layer"
        )
    _check_options(epochs, lr, momentum, weight_decay, batch_size, lr_decay)
    features = train_features.float()
    classes, targets = torch.unique(train_labels.to(features.device), return_inverse=True)
    generator = torch.Generator().manual_seed(seed)
    start = torch.normal(0.0, 0.01, (len(classes), features.shape[1]), generator=generator)
    weight = start.to(features.device).requires_grad_()
    bias = torch.zeros(len(classes), device=features.device, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr, momentum=momentum, weight_decay=weight_decay)
    iteration = 0
    # inside an evaluation that wants neither
    with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
        for _ in range(epochs):
            order = torch.randperm(len(features), generator=generator).to(features.device)
            for rows in order.split(batch_size):
                if lr_decay == "bottou":
                    optimizer.param_groups[0]["lr"] = bottou_lr(lr, weight_decay, iteration)
                loss = F.cross_entropy(F.linear(features[rows], weight, bias), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                iteration += 1
    weight, bias = weight.detach(), bias.detach()
    train_logits = _logits(features, weight, bias)
    loss = F.cross_entropy(train_logits, targets)
    if not bool(torch.isfinite(loss)):
        raise ValueError(f"the linear probe diverged (loss {loss.item()}): lower lr={lr}")
    found = classes[_logits(test_features.to(features), weight, bias).argmax(dim=1)]
    return ProbeResult(
        accuracy=_share(found, test_labels.to(found.device)),
        train_accuracy=_share(train_logits.argmax(dim=1), targets),
        loss=float(loss),
        protocol=probe_id(epochs, lr, momentum, weight_decay, batch_size, lr_decay),
        num_train=len(features),
        num_test=len(test_features),
        feature_dim=features.shape[1],
        num_classes=len(classes),
    )


def _logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        return F.linear(features, weight, bias)


def _share(found: Tensor, truth: Tensor) -> float:
    return float((found == truth).double().mean())


def _check_options(
    epochs: int,
    lr: float,
    momentum: float,
    weight_decay: float,
    batch_size: int,
    lr_decay: str,
) -> None:
    if lr_decay not in LR_DECAYS:
        raise ValueError(f"lr_decay must be one of {LR_DECAYS}, got {lr_decay!r}")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if lr <= 0:
        raise ValueError(f"lr must be > 0, got {lr}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), got {momentum}")
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be >= 0, got {weight_decay}")
