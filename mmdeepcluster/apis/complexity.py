"""Size of a model and of the work that a method makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from mmdeepcluster.apis.module_costs import (
    BATCH,
    ModuleCost,
    module_costs,
    total_macs,
    training_macs,
)
from mmdeepcluster.apis.unopened import build_unallocated, unopened_dataset
from mmdeepcluster.datasets import BaseImageDataset, ImageView, given_images
from mmdeepcluster.engine import ConfigError, prepare_config, resolve_for_size
from mmdeepcluster.models import (
    AlternatingAlgorithm,
    BaseAlgorithm,
    DeepCluster,
    DeeperCluster,
    TwoLevelHead,
    TwoLevelTargets,
)

Shape = tuple[int, int, int]
PARTS = ("backbone", "neck", "head")
_BLANK = (256, 256)  # where there is no image to learn a shape from


@dataclass(frozen=True)
class Complexity:
    """What a model of a config costs; multiply-adds are for one image, 2 FLOPs each.

    Attributes:
        modules: Modules of backbone, neck and head in a forward pass of a training image.
        train_shape: Training images (C, H, W).
        eval_shape: Images (C, H, W) that features are taken of.
        training: Multiply-adds of forward and backward pass of the loss.
        extraction: Multiply-adds of features to cluster: backbone and neck, forward.
        extracts: When the method takes features of all images.
        num_samples: Images; None where the data set is not there.
        note: Why not.
    """

    modules: Sequence[ModuleCost]
    train_shape: Shape
    eval_shape: Shape
    training: int
    extraction: int
    extracts: str
    num_samples: int | None
    note: str | None = None

    def total(self, part: str = "") -> ModuleCost:
        """Sum over the modules of a part: ``backbone``, ``neck``, ``head``, or all of them."""
        inside = [m for m in self.modules if not part or m.name.split(".")[0] == part]
        return _sum(part or "total", inside)


def _sum(name: str, modules: Sequence[ModuleCost]) -> ModuleCost:
    outer = [module for module in modules if module.name == name]
    return ModuleCost(
        name,
        outer[0].kind if outer else "",
        (),
        sum(module.parameters for module in modules),
        sum(module.macs for module in modules),
        sum(module.activations for module in modules),
    )


def complexity(
    config: str | Path | Config,
    shape: Sequence[int] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    dataset_size: int | None = None,
) -> Complexity:
    """Counts parameters, multiply-adds and activations; nothing is computed.

    Works on the meta device. (MMEngine's ``get_model_complexity_info`` counts no backward pass and
    traces a forward that has one output.)

    Args:
        config: Config file or config.
        shape: Height and width of images, or one number for both. Defaults to what the pipelines
            make.
        options: What ``--cfg-options`` would set, with dotted keys.
        dataset_size: Number of images. Defaults to that of the data set, if that is there.

    Raises:
        ConfigError: The config cannot be used, or images of that shape do not fit.
    """
    dataset, note = None, None
    if dataset_size is None:
        prepare_config(config, options)  # what is wrong with the config itself is no note
        try:
            dataset = unopened_dataset(config, options)
            dataset_size = len(dataset)
        except ConfigError as error:
            note = str(error)
    cfg = resolve_for_size(config, options, dataset_size or _any_size(config, options, note))
    network = build_unallocated(cfg).train()
    train_shape = _shape(cfg, "train_pipeline", shape, network, dataset)
    eval_shape = _shape(cfg, "eval_pipeline", shape, network, dataset)
    try:
        images = _blank(network, train_shape)
        parts = {name: part for name in PARTS if (part := getattr(network, name, None))}
        modules = module_costs(parts, lambda: _loss(network, images))
        training = training_macs(lambda: _loss(network, images))
        seen = _blank(network.eval(), eval_shape)
        with torch.no_grad():
            extraction = total_macs(lambda: network.neck(network.backbone(seen)[-1]))
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"images of {train_shape} do not fit the model: {reason}") from error
    when = _extracts(cfg, network)
    return Complexity(
        modules, train_shape, eval_shape, training, extraction, when, dataset_size, note
    )


def _any_size(
    config: str | Path | Config, options: Mapping[str, Any] | None, note: str | None
) -> int:
    """A number of images that fits the clusters, where only the network matters."""
    number = prepare_config(config, options).model.get("num_clusters", "auto")
    if not isinstance(number, int):
        raise ConfigError(
            f"model.num_clusters={number!r} follows from the number of images: give --dataset-size "
            f"({note})"
        )
    return max(8, 100 * number)


def _shape(
    cfg: Config,
    pipeline: str,
    given: Sequence[int] | None,
    network: BaseAlgorithm,
    dataset: BaseImageDataset | None,
) -> Shape:
    if given:
        if len(given) > 2 or min(given) < 1:
            raise ConfigError(f"--shape takes height and width, or one number, got {list(given)}")
        return (network.backbone.in_channels, given[0], given[-1])
    images = given_images([Image.new("RGB", _BLANK)]) if dataset is None else dataset
    try:
        view = ImageView(images, cfg[pipeline], name=pipeline)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    channels, height, width = view.image_shape
    return channels, height, width


def _blank(network: BaseAlgorithm, shape: Shape) -> Tensor:
    device = next(network.parameters()).device
    return torch.zeros(BATCH, *shape, device=device)


def _loss(network: BaseAlgorithm, images: Tensor) -> Tensor:
    """A number that depends on all the network as its loss does; labels are of no matter here."""
    features = network.neck(network.backbone(images)[-1]).float()
    if not isinstance(network, DeeperCluster):
        head = getattr(network, "head", None)
        return features.sum() if head is None else head(features).sum()
    classes = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    targets: Any = classes
    if isinstance(network.head, TwoLevelHead):
        # An image goes to one of the classifiers over clusters; which one is of no matter.
        targets = TwoLevelTargets(classes, classes, None)
    losses = network.head(features, targets)
    return sum(value for name, value in losses.items() if name.startswith("loss"))


def _extracts(cfg: Config, network: BaseAlgorithm) -> str:
    kept = isinstance(network, DeepCluster) and network.features == "from_training"
    if kept or not isinstance(network, AlternatingAlgorithm):
        return "once, before the first epoch"
    interval = cfg.default_hooks.clustering.get("interval", 1)
    return "before each epoch" if interval == 1 else f"every {interval} epochs"


def complexity_table(found: Complexity, depth: int | None = None) -> str:
    """Lines for a terminal.

    Args:
        found: What was counted.
        depth: Modules this deep in backbone, neck and head are summed up; 0 for the parts alone.
            Defaults to None, every module.
    """
    shape = "x".join(map(str, found.train_shape))
    rows = [_cells(module) for module in _to_depth(found.modules, depth)]
    rows = [("layer", "type", "output", "parameters", "multiply-adds", "activations"), *rows]
    parts = dict.fromkeys(module.name.split(".")[0] for module in found.modules)
    sums = [_cells(found.total(part)) for part in (*parts, "")]
    if depth == 0:
        sums = sums[-1:]
    widths = [max(len(row[i]) for row in [*rows, *sums]) for i in range(6)]
    line = "-" * (sum(widths) + 10)
    text = [f"a training image of {shape}, in one forward pass", line]
    text += [_aligned(rows[0], widths), line, *(_aligned(row, widths) for row in rows[1:])]
    text += [line, *(_aligned(row, widths) for row in sums), line]
    text.append(
        "multiply-adds of convolutions and matrix products (1 = 2 FLOPs); norms, activation "
        "functions and pooling are not counted"
    )
    return "\n".join([*text, *_work(found)])


def _work(found: Complexity) -> list[str]:
    """What an epoch costs."""
    shape = "x".join(map(str, found.eval_shape))
    number = found.num_samples
    lines = [
        f"training (forward and backward): {readable(found.training)} an image"
        + _of_all(found.training, number, "an epoch"),
        f"features to cluster ({shape}, {found.extracts}): {readable(found.extraction)} an image"
        + _of_all(found.extraction, number, "a pass"),
    ]
    if found.note is not None:
        lines.append(f"no data set, so no cost of an epoch: {found.note}")
    return lines


def _of_all(macs: int, number: int | None, what: str) -> str:
    return "" if number is None else f", {readable(macs * number)} {what} of {number:,} images"


def _to_depth(modules: Sequence[ModuleCost], depth: int | None) -> Sequence[ModuleCost]:
    if depth is None:
        return modules
    groups: dict[str, list[ModuleCost]] = {}
    for module in modules:
        groups.setdefault(".".join(module.name.split(".")[: depth + 1]), []).append(module)
    return [
        members[0] if len(members) == 1 and members[0].name == name else _sum(name, members)
        for name, members in groups.items()
    ]


def _cells(module: ModuleCost) -> tuple[str, ...]:
    return (
        module.name,
        module.kind,
        "x".join(map(str, module.output)),
        f"{module.parameters:,}",
        readable(module.macs),
        f"{module.activations:,}",
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    left = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
    right = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


def readable(number: int) -> str:
    """A count with four digits in the unit that fits: 4.09 G."""
    if number < 1000:
        return str(number)
    exponent = min(int(math.log10(number)) // 3, 6)
    return f"{number / 1000**exponent:.4g} {' KMGTPE'[exponent]}"
