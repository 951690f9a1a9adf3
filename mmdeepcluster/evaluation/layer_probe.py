"""Linear classifiers on several layers at once, on features that were extracted before (R62)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.evaluation.knn import check_labelled
from mmdeepcluster.evaluation.probe_protocols import ProbeProtocol

_EVAL_ROWS = 1024


@dataclass(frozen=True)
class LayerScore:
    """What the classifier on one layer found.

    Attributes:
        layer: Name of the layer.
        top1: Share of test samples whose class comes first, 0 to 1.
        top5: Share whose class is among the first five; None with five classes or fewer.
        train_top1: As ``top1``, of the training samples.
        loss: Mean cross-entropy of the training samples in the last epoch, in nats.
        width: Width of the features.
    """

    layer: str
    top1: float
    top5: float | None
    train_top1: float
    loss: float
    width: int


@dataclass(frozen=True)
class LayerProbeResult:
    """Scores of all layers under one protocol.

    Attributes:
        protocol: Its id.
        scores: One per layer, in order.
        num_train: Training samples.
        num_test: Test samples.
        num_classes: Classes of the training samples.
    """

    protocol: str
    scores: tuple[LayerScore, ...]
    num_train: int
    num_test: int
    num_classes: int

    @property
    def best(self) -> LayerScore:
        """The layer with the highest top-1 accuracy on the test samples (R66)."""
        return max(self.scores, key=lambda score: score.top1)


def probe_layers(
    train_features: Mapping[str, Tensor],
    train_labels: Tensor,
    test_features: Mapping[str, Tensor],
    test_labels: Tensor,
    protocol: ProbeProtocol,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> LayerProbeResult:
    """Trains one linear classifier per layer, all in one pass over the samples (R62).

    The classifiers share the order of the samples and nothing else: each gives what it would give
    alone. Features may be mapped from files; a batch at a time goes to the device.

    Args:
        train_features: Matrix (N, D_layer) of each layer.
        train_labels: Classes, int64 (N,), non-negative.
        test_features: Matrix (M, D_layer) of each layer.
        test_labels: Classes (M,). A class without training sample is never right.
        protocol: How they are trained.
        seed: Seed of the start and of the order.
        device: Where they are trained. Defaults to that of the features.

    Returns:
        Accuracy per layer.

    Raises:
        ValueError: If the layers or shapes do not fit, features are not finite, a label is
            negative, or a classifier diverged.
    """
    _check(train_features, train_labels, test_features, test_labels)
    device = next(iter(train_features.values())).device if device is None else device
    classes, targets = torch.unique(train_labels.cpu(), return_inverse=True)
    heads = nn.ModuleList(
        _head(rows.shape[1], len(classes), protocol, seed, name)
        for name, rows in train_features.items()
    ).to(device)
    order = torch.Generator().manual_seed(seed)
    with torch.enable_grad(), torch.autocast(torch.device(device).type, enabled=False):
        losses = _train(heads, list(train_features.values()), targets, protocol, order)
    scores = []
    for head, (name, rows), loss in zip(heads, train_features.items(), losses, strict=True):
        if not torch.isfinite(torch.tensor(loss)):
            raise ValueError(f"the probe of {name} diverged (loss {loss}): lower lr={protocol.lr}")
        train_top1, _ = _accuracies(head, rows, train_labels, classes)
        top1, top5 = _accuracies(head, test_features[name], test_labels, classes)
        width = rows.shape[1]
        scores.append(LayerScore(name, top1, top5, train_top1, loss, width))
    return LayerProbeResult(
        protocol.id, tuple(scores), len(train_labels), len(test_labels), len(classes)
    )


def _head(width: int, num_classes: int, protocol: ProbeProtocol, seed: int, name: str) -> nn.Module:
    generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
    linear = nn.Linear(width, num_classes)
    with torch.no_grad():
        linear.weight.normal_(0.0, 0.01, generator=generator)
        linear.bias.zero_()
    norm = nn.BatchNorm1d(width, affine=False) if protocol.batch_norm else nn.Identity()
    return nn.Sequential(norm, linear)


def _train(
    heads: nn.ModuleList,
    features: list[Tensor],
    targets: Tensor,
    protocol: ProbeProtocol,
    order: torch.Generator,
) -> list[float]:
    """Trains in place; mean loss of each head over the last epoch."""
    device = next(heads.parameters()).device
    optimizer = torch.optim.SGD(
        heads.parameters(),
        protocol.lr,
        momentum=protocol.momentum,
        nesterov=protocol.nesterov,
        weight_decay=protocol.weight_decay,
    )
    means = torch.zeros(len(heads), device=device)
    heads.train()
    for epoch in range(protocol.epochs):
        optimizer.param_groups[0]["lr"] = protocol.lr_of(epoch)
        means.zero_()
        for rows in _batches(torch.randperm(len(targets), generator=order), protocol):
            truth = targets[rows].to(device)
            losses = torch.stack(
                [
                    F.cross_entropy(head(matrix[rows.to(matrix.device)].to(device).float()), truth)
                    for head, matrix in zip(heads, features, strict=True)
                ]
            )
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            means += losses.detach() * (len(rows) / len(targets))
    return means.tolist()


def _batches(order: Tensor, protocol: ProbeProtocol) -> Iterator[Tensor]:
    """Batches in order; batch norm knows no variance of one sample, which is then left out."""
    for rows in order.split(protocol.batch_size):
        if len(rows) > 1 or not protocol.batch_norm:
            yield rows.sort().values  # files are read forwards; the sum is the same


@torch.no_grad()
def _accuracies(
    head: nn.Module, features: Tensor, labels: Tensor, classes: Tensor
) -> tuple[float, float | None]:
    head.eval()
    device = next(head.parameters()).device
    first, among_five = 0, 0
    depth = min(5, len(classes))
    for rows, truth in zip(features.split(_EVAL_ROWS), labels.split(_EVAL_ROWS), strict=True):
        ranked = head(rows.to(device).float()).topk(depth, dim=1).indices.cpu()
        right = classes[ranked] == truth.cpu().unsqueeze(1)
        first += int(right[:, 0].sum())
        among_five += int(right.any(dim=1).sum())
    top5 = among_five / len(labels) if len(classes) > 5 else None
    return first / len(labels), top5


def _check(
    train_features: Mapping[str, Tensor],
    train_labels: Tensor,
    test_features: Mapping[str, Tensor],
    test_labels: Tensor,
) -> None:
    if not train_features or list(train_features) != list(test_features):
        raise ValueError(
            f"train and test features must be of the same layers, got {list(train_features)} and "
            f"{list(test_features)}"
        )
    for name, rows in train_features.items():
        check_labelled(rows, train_labels, "train")
        check_labelled(test_features[name], test_labels, "test")
        if rows.shape[1] != test_features[name].shape[1]:
            raise ValueError(
                f"layer {name}: test features have {test_features[name].shape[1]} dimensions, "
                f"train features {rows.shape[1]}"
            )
    if len(train_labels) < 2:
        raise ValueError(f"a probe needs at least 2 training samples, got {len(train_labels)}")
