"""One step of the optimizer, the memory, and what some more steps change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from mmdeepcluster.apis.exploration.clusters import explained
from mmdeepcluster.apis.exploration.setup import Setup
from mmdeepcluster.apis.exploration.views import draw_seed, picture_of
from mmdeepcluster.clustering import l2_normalize, match_clusters
from mmdeepcluster.datasets import Draw
from mmdeepcluster.engine import TrainingError, derive_seed, seed_everything
from mmdeepcluster.engine.hooks.online_clustering_hook import move_clusters
from mmdeepcluster.evaluation import normalized_mutual_info
from mmdeepcluster.models import (
    ODC,
    BaseAlgorithm,
    DeeperCluster,
    draw_rotations,
    rotate,
    sample_weights,
)
from mmdeepcluster.visualization.exploration import (
    MemoryFigures,
    MemoryVisit,
    NextCycle,
    TrainingStep,
)

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Training:
    """What :func:`explore_training` found.

    Attributes:
        step: The first step.
        memory: Of an online method.
        next_cycle: After all steps.
    """

    step: TrainingStep
    memory: MemoryFigures | None
    next_cycle: NextCycle


class Look(NamedTuple):
    """What the network says of a batch in training mode.

    Attributes:
        features: Features (B, D).
        rotations: Quarter turns (B,), zeros where the method turns nothing.
        inputs: The images that were seen (B, C, H, W).
    """

    features: Tensor
    rotations: Tensor
    inputs: Tensor


def explore_training(setup: Setup, num_steps: int | None) -> Training:
    """Takes a step on a batch with the own images, then ``num_steps`` of the loader's batches.

    Args:
        setup: With a method that has clusters.
        num_steps: Steps after the first one. Defaults to None, one epoch.

    Raises:
        TrainingError: If the loss is not finite.
    """
    algorithm: Any = setup.algorithm
    before = algorithm.labels()
    batch, pictures = _first_batch(setup)
    rows = algorithm.memory.features.clone() if isinstance(algorithm, ODC) else None
    step, feature = _first_step(setup, batch, pictures)
    refills = _dissolved(algorithm)
    ratios = _after_step(setup, 0)
    memory = None
    if rows is not None:
        memory = _memory_figures(setup, rows, before, feature)
    losses = [step.loss_before]
    more, changes = _more_steps(setup, num_steps)
    return Training(
        step,
        memory,
        _next_cycle(setup, before, [*losses, *more], [*ratios, *changes], refills),
    )


def _first_batch(setup: Setup) -> tuple[Batch, list[Any]]:
    """Own images and the first draws of the sampler, and their pictures."""
    batches = setup.loader.batch_sampler
    batches.sampler.set_epoch(0)
    drawn = list(batches.sampler)
    own = [Draw(index, draw_seed(setup, index)) for index in range(setup.num_own)]
    others = list({d.index: d for d in drawn if d.index >= setup.num_own}.values())
    size = max(len(own) + 1, min(batches.batch_size, len(own) + len(others)))
    view = setup.loader.dataset
    samples = [view[draw] for draw in [*own, *others[: size - len(own)]]]
    batch = {
        "inputs": torch.stack([sample["inputs"] for sample in samples]),
        "sample_idx": torch.tensor([sample["sample_idx"] for sample in samples]),
    }
    return batch, [picture_of(sample["inputs"]) for sample in samples]


def _first_step(setup: Setup, batch: Batch, pictures: list[Any]) -> tuple[TrainingStep, Tensor]:
    """The step, and the features (B, D) that its forward pass made."""
    algorithm: Any = setup.algorithm
    optimizer = setup.optim_wrapper.optimizer
    seed = derive_seed(setup.seed, "epoch", 0, 0)
    labels = algorithm.labels()[batch["sample_idx"]]
    old = look(algorithm, batch, seed)
    probability = [class_probabilities(algorithm, old)]
    log = _train_step(setup, batch, seed)
    new = look(algorithm, batch, seed)
    probability.append(class_probabilities(algorithm, new))
    before, after = (p.gather(1, labels[:, None])[:, 0] for p in probability)
    turned = isinstance(algorithm, DeeperCluster) and algorithm.num_rotations > 1
    turns = old.rotations.numpy() if turned else None
    if turns is not None:
        pictures = [np.rot90(p, int(t)).copy() for p, t in zip(pictures, turns, strict=True)]
    rates = [(group["lr"], group["params"]) for group in optimizer.param_groups]
    head = {id(parameter) for parameter in algorithm.head.parameters()}
    head_rate = next((lr for lr, ps in rates if any(id(p) in head for p in ps)), rates[0][0])
    body = next((lr for lr, ps in rates if any(id(p) not in head for p in ps)), rates[0][0])
    own = setup.num_own
    step = TrainingStep(
        samples=batch["sample_idx"].numpy(),
        pictures=np.stack(pictures),
        targets=labels.numpy(),
        rotations=turns,
        loss_before=log["loss"],
        loss_after=_loss_of(algorithm, after, labels),
        losses={name: value for name, value in log.items() if name.startswith("loss")},
        chance=algorithm.chance_loss,
        before=before.numpy(),
        after=after.numpy(),
        own_before=probability[0][:own].numpy(),
        own_after=probability[1][:own].numpy(),
        rate=float(body),
        head_rate=float(head_rate),
        optimizer=type(optimizer).__name__,
    )
    return step, old.features


def _train_step(setup: Setup, batch: Batch, seed: int | None = None) -> dict[str, float]:
    """One step of training; its losses."""
    if seed is not None:
        seed_everything(seed)
    setup.algorithm.train()
    found = setup.algorithm.train_step(batch, setup.optim_wrapper)
    log = {name: float(value.detach()) for name, value in found.items()}
    if not np.isfinite(log["loss"]):
        raise TrainingError(
            f"the loss became {log['loss']}: lower optim_wrapper.optimizer.lr "
            f"({setup.resolved.cfg.optim_wrapper.optimizer.get('lr')})"
        )
    return log


@contextmanager
def unchanged_statistics(algorithm: BaseAlgorithm) -> Iterator[None]:
    """Training mode whose batch norm statistics are as before in the end."""
    saved = {name: value.clone() for name, value in algorithm.named_buffers()}
    was_training = algorithm.training
    algorithm.train()
    try:
        yield
    finally:
        for name, value in algorithm.named_buffers():
            value.copy_(saved[name])
        algorithm.train(was_training)


@torch.no_grad()
def look(algorithm: BaseAlgorithm, batch: Batch, seed: int) -> Look:
    """What a training step with this seed sees: the same turns and the same dropout."""
    network: Any = algorithm
    with unchanged_statistics(algorithm):
        seed_everything(seed)
        inputs = network.data_preprocessor(batch, training=True)["inputs"]
        rotations = torch.zeros(len(inputs), dtype=torch.int64)
        if isinstance(algorithm, DeeperCluster):
            rotations = draw_rotations(len(inputs), algorithm.num_rotations)
            inputs = rotate(inputs, rotations)
        features = network.neck(network.backbone(inputs)[-1]).float()
    return Look(features, rotations, inputs)


@torch.no_grad()
def class_probabilities(algorithm: BaseAlgorithm, seen: Look) -> Tensor:
    """Probability (B, K) of each cluster; with turns, of the cluster and the turn at once."""
    network: Any = algorithm
    if isinstance(algorithm, ODC):
        return network.head(seen.features).softmax(dim=1).cpu()
    features = F.relu(seen.features)
    if not isinstance(algorithm, DeeperCluster):
        return network.head(features).softmax(dim=1).cpu()
    # A head of two levels gives losses alone; that of one target is -ln of its probability.
    found = torch.zeros(len(features), algorithm.num_clusters)
    for row, (feature, turn) in enumerate(zip(features, seen.rotations, strict=True)):
        for cluster in range(algorithm.num_clusters):
            device = feature.device
            targets = network.head.targets(
                turn.view(1).to(device), torch.tensor([cluster], device=device)
            )
            losses = network.head(feature[None], targets)
            total = sum(float(v) for name, v in losses.items() if name.startswith("loss"))
            found[row, cluster] = np.exp(-total)
    return found


def _loss_of(algorithm: Any, probability: Tensor, labels: Tensor) -> float:
    """Loss of a batch from the probability (B,) of its targets, weighted as the method does."""
    module = getattr(algorithm, "loss_module", None)
    power, factor = getattr(module, "power", 0.0), getattr(module, "loss_weight", 1.0)
    weights = sample_weights(algorithm.cluster_counts.cpu(), labels, power)
    losses = -probability.clamp_min(1e-30).log()
    return float(factor * (weights * losses).sum() / weights.sum())


def _after_step(setup: Setup, iteration: int) -> list[float]:
    """What the hook of an online method does after a step; its change ratio."""
    algorithm = setup.algorithm
    if not isinstance(algorithm, ODC):
        return []
    stats = move_clusters(
        algorithm,
        setup.optim_wrapper.optimizer,
        reassign=True,
        refresh=(iteration + 1) % algorithm.centroids_update_interval == 0,
        wait=True,
    )
    return [float(stats["change_ratio"])]


def _dissolved(algorithm: BaseAlgorithm) -> int:
    return int(algorithm.memory.num_refills) if isinstance(algorithm, ODC) else 0


def _memory_figures(setup: Setup, rows: Tensor, before: Tensor, features: Tensor) -> MemoryFigures:
    algorithm: Any = setup.algorithm
    memory, now = algorithm.memory, algorithm.labels()
    unit = l2_normalize(features[: setup.num_own])
    visits = []
    for index in range(setup.num_own):
        row = memory.features[index]
        distances = torch.cdist(row[None].double(), memory.centroids.double())[0]
        visits.append(
            MemoryVisit(
                sample=index,
                row_before=rows[index].cpu().numpy(),
                feature=unit[index].cpu().numpy(),
                row_after=row.cpu().numpy().copy(),
                label_before=int(before[index]),
                label_after=int(now[index]),
                distances=distances.cpu().numpy(),
            )
        )
    return MemoryFigures(
        momentum=memory.momentum,
        renormalize=memory.renormalize,
        interval=memory.centroids_update_interval,
        min_cluster_size=memory.min_cluster_size,
        metric=memory.assign_metric,
        label_warmup=int(setup.hook().get("label_warmup", 0)),
        visits=visits,
    )


def _more_steps(setup: Setup, number: int | None) -> tuple[list[float], list[float]]:
    """Losses and change ratios of further steps, of epoch 1 on."""
    losses: list[float] = []
    ratios: list[float] = []
    number = len(setup.loader) if number is None else number
    print_log(f"training for {number} steps ...", "current")
    epoch = 1
    while len(losses) < number:
        setup.loader.batch_sampler.sampler.set_epoch(epoch)
        for batch in setup.loader:
            losses.append(_train_step(setup, batch)["loss"])
            ratios += _after_step(setup, len(losses))
            if len(losses) == number:
                break
        epoch += 1
    return losses, ratios


def _next_cycle(
    setup: Setup, before: Tensor, losses: list[float], ratios: list[float], refills: int
) -> NextCycle:
    """Labels after the steps: those of the memory, or of another clustering."""
    algorithm: Any = setup.algorithm
    number = algorithm.num_clusters
    labels = algorithm.labels()
    if not isinstance(algorithm, ODC):
        twin = copy.deepcopy(algorithm)
        features = setup.features()
        try:
            twin.recluster(features, derive_seed(setup.seed, "recluster", 1))
        except ValueError as error:
            raise explained(error) from error
        labels = twin.labels()
        labels = match_clusters(before, labels, number)[labels]
    overlap = np.zeros((number, number), dtype=np.int64)
    np.add.at(overlap, (before.numpy(), labels.numpy()), 1)
    return NextCycle(
        losses=losses,
        change_ratios=ratios,
        labels=labels.numpy(),
        nmi=float(normalized_mutual_info(before.numpy(), labels.numpy())),
        overlap=overlap,
        refills=_dissolved(algorithm) - refills,
    )
