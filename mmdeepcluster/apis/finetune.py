"""Fine-tuning a whole network with few labels."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmdeepcluster.apis.image_pass import layer_widths
from mmdeepcluster.datasets import BaseImageDataset, Draw, ImageView
from mmdeepcluster.engine import ConfigError, TrainingError, derive_seed
from mmdeepcluster.evaluation import FinetuneProtocol, stratified_subset
from mmdeepcluster.models import FeatureModel


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning with few labels reached.

    Attributes:
        protocol: Its id.
        top1: Share of test images that get their class, 0 to 1.
        top5: Share whose class is among the first five; None with five classes or fewer.
        num_labelled: Labelled images.
        num_classes: Classes.
        loss: Mean cross-entropy of the last epoch, in nats.
    """

    protocol: str
    top1: float
    top5: float | None
    num_labelled: int
    num_classes: int
    loss: float


def finetune(
    network: FeatureModel,
    train: BaseImageDataset,
    test: ImageView,
    protocol: FinetuneProtocol,
    *,
    seed: int = 0,
    num_workers: int = 0,
) -> FinetuneResult:
    """Trains a copy of the backbone and a linear classifier on a share of each class (R68).

    The labelled images go through a random crop of the size of the test images and a horizontal
    flip. One process.

    Args:
        network: The network; it is left as it is.
        train: Labelled images, of which a seeded share is used.
        test: Labelled images through the evaluation pipeline.
        protocol: Share and schedule.
        seed: Seed of the subset, the classifier, the order and the crops.
        num_workers: Data workers; does not change the result on a CPU.

    Returns:
        Accuracy on the test images.

    Raises:
        ConfigError: If one of the sets has no labels.
        TrainingError: If the training diverged.
    """
    labels, truth = _labels(train, "train"), _labels(test.dataset, "test")
    rows = stratified_subset(labels, protocol.fraction, derive_seed(seed, "labelled subset"))
    classes = torch.from_numpy(np.unique(labels))
    device = network.data_preprocessor.device
    network = copy.deepcopy(network)
    head = _head(network, len(classes), test, derive_seed(seed, "classifier")).to(device)
    parameters = [
        {"params": list(network.backbone.parameters()), "rate": protocol.lr},
        {"params": list(head.parameters()), "rate": protocol.head_lr},
    ]
    optimizer = torch.optim.SGD(
        parameters, 1.0, momentum=protocol.momentum, weight_decay=protocol.weight_decay
    )
    targets = torch.searchsorted(classes, torch.from_numpy(labels))
    view = ImageView(train, _augmentation(test), name="train_pipeline")
    loss = 0.0
    for epoch in range(protocol.epochs):
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * protocol.factor(epoch)
        batches = list(_draws(rows, protocol.batch_size, derive_seed(seed, "fine-tuning", epoch)))
        loss = _epoch(network, head, optimizer, _loader(view, batches, num_workers), targets)
        if not np.isfinite(loss):
            raise TrainingError(
                f"fine-tuning diverged in epoch {epoch + 1} (loss {loss}): lower lr="
                f"{protocol.lr} or head_lr={protocol.head_lr}"
            )
        print_log(f"{protocol.id}: epoch {epoch + 1}, loss {loss:.4f}", "current")
    top1, top5 = _accuracy(network, head, test, truth, classes, protocol.batch_size, num_workers)
    return FinetuneResult(protocol.id, top1, top5, len(rows), len(classes), loss)


def _labels(dataset: BaseImageDataset, name: str) -> NDArray[np.int64]:
    if dataset.eval_labels is None:
        raise ConfigError(
            f"the {name} images have no labels, which fine-tuning needs: set {name}.labels"
            "='folder' for a folder of folders, or give a data set with classes"
        )
    return np.asarray(dataset.eval_labels)


def _head(network: FeatureModel, num_classes: int, test: ImageView, seed: int) -> nn.Linear:
    width = layer_widths(network, ("backbone",), test)["backbone"]
    head = nn.Linear(width, num_classes)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        head.weight.normal_(0.0, 0.01, generator=generator)
        head.bias.zero_()
    return head


def _augmentation(test: ImageView) -> list[dict[str, Any]]:
    channels, height, width = test.image_shape
    return [
        {"type": "RGB" if channels == 3 else "Grayscale"},
        {"type": "RandomResizedCrop", "size": (height, width)},
        {"type": "RandomHorizontalFlip", "p": 0.5},
        {"type": "PILToTensor"},
    ]


def _draws(rows: NDArray[np.int64], batch_size: int, seed: int) -> Iterator[list[Draw]]:
    """Batches of one epoch; one image alone has no statistics and joins the batch before."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(rows)
    seeds = generator.integers(0, 2**31, len(order))
    draws = [Draw(int(index), int(number)) for index, number in zip(order, seeds, strict=True)]
    starts = list(range(0, len(draws), batch_size))
    if len(starts) > 1 and len(draws) - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], len(draws)], strict=True):
        yield draws[start:stop]


def _loader(view: ImageView, batches: list[Any], num_workers: int) -> DataLoader[dict[str, Any]]:
    # The batches stand; a generator of its own leaves the global one alone.
    generator = torch.Generator().manual_seed(0)
    return DataLoader(view, batch_sampler=batches, num_workers=num_workers, generator=generator)


def _epoch(
    network: FeatureModel,
    head: nn.Linear,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[dict[str, Any]],
    targets: Tensor,
) -> float:
    """Trains for an epoch; the mean loss."""
    network.train()
    total, number = 0.0, 0
    for batch in loader:
        data = network.data_preprocessor(batch, training=False)
        truth = targets[batch["sample_idx"]].to(data["inputs"].device)
        loss = F.cross_entropy(
            head(network.extract(data["inputs"], ("backbone",))["backbone"]), truth
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(truth)
        number += len(truth)
    return total / number


@torch.no_grad()
def _accuracy(
    network: FeatureModel,
    head: nn.Linear,
    test: ImageView,
    truth: NDArray[np.int64],
    classes: Tensor,
    batch_size: int,
    num_workers: int,
) -> tuple[float, float | None]:
    network.eval()
    order = torch.arange(len(test)).split(batch_size)
    first = among_five = 0
    for batch in _loader(test, [rows.tolist() for rows in order], num_workers):
        data = network.data_preprocessor(batch, training=False)
        scores = head(network.extract(data["inputs"], ("backbone",))["backbone"])
        found = classes[scores.topk(min(5, len(classes)), dim=1).indices.cpu()]
        right = found == torch.from_numpy(truth)[batch["sample_idx"]].unsqueeze(1)
        first += int(right[:, 0].sum())
        among_five += int(right.any(dim=1).sum())
    return first / len(test), among_five / len(test) if len(classes) > 5 else None
