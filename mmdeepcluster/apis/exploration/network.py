"""The layers of the network, and what they make of the own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdeepcluster.apis.exploration.setup import Setup
from mmdeepcluster.datasets import ImageView
from mmdeepcluster.models import FeatureModel
from mmdeepcluster.visualization.exploration import FeatureMaps, Layer, OwnImage

_NUM_LAYERS = 4
_NUM_CHANNELS = 8


@torch.no_grad()
def explore_network(setup: Setup, own: Sequence[OwnImage]) -> tuple[list[Layer], list[OwnImage]]:
    """The layers with their shapes, and the own images with planes and feature maps."""
    algorithm = setup.algorithm.eval()
    view = ImageView(setup.resolved.dataset, setup.resolved.cfg.eval_pipeline, "eval_pipeline")
    images = torch.stack([view[index]["inputs"] for index in range(setup.num_own)])
    inputs = algorithm.data_preprocessor({"inputs": images}, training=False)["inputs"]
    stages = algorithm.backbone.forward_stages(inputs)
    layers = layers_of(algorithm, inputs, stages)
    gray = _planes(algorithm.backbone, inputs)
    chosen = spread([name for name, value in stages.items() if value.ndim == 4], _NUM_LAYERS)
    full = [
        replace(
            image,
            planes={name: plane[index].cpu().numpy() for name, plane in gray.items()},
            maps=[strongest_maps(name, stages[name][index]) for name in chosen],
        )
        for index, image in enumerate(own)
    ]
    return layers, full


def layers_of(algorithm: FeatureModel, inputs: Tensor, stages: dict[str, Tensor]) -> list[Layer]:
    """Image, Sobel layer, stages, neck and head in order; the tap is the last output."""
    backbone: Any = algorithm.backbone
    tap = backbone.out_indices[-1]
    found = [Layer("image", "image", tuple(inputs.shape[1:]))]
    sobel = getattr(backbone, "sobel", None)
    if sobel is not None:
        shape = (sobel.out_channels, *inputs.shape[2:])
        found.append(Layer("Sobel", "sobel", shape))
    for index, (name, value) in enumerate(stages.items()):
        kind = "map" if value.ndim == 4 else "vector"
        shape = tuple(value.shape[1:])
        found.append(Layer(name, kind, shape, tapped=index == tap, used=index <= tap))
    neck = type(algorithm.neck).__name__
    found.append(Layer(neck, "neck", (algorithm.feature_dim,)))
    number = getattr(algorithm, "num_clusters", 0) * getattr(algorithm, "num_rotations", 1)
    head = getattr(algorithm, "head", None)
    if head is not None:
        found.append(Layer(type(head).__name__, "head", (number,)))
    return found


def _planes(backbone: Any, inputs: Tensor) -> dict[str, Tensor]:
    """Grey value and gradients (n, H, W) of normalised images, where there is a Sobel layer."""
    sobel = getattr(backbone, "sobel", None)
    if sobel is None:
        return {}
    gray = torch.nn.functional.conv2d(inputs, sobel.gray)[:, 0]
    gradients = sobel(inputs)
    return {"grey value": gray, "horizontal": gradients[:, 0], "vertical": gradients[:, 1]}


def spread(names: Sequence[str], number: int) -> list[str]:
    """At most ``number`` of the names, first and last among them, evenly apart."""
    if len(names) <= number:
        return list(names)
    return [names[int(place)] for place in np.linspace(0, len(names) - 1, number).round()]


def strongest_maps(name: str, maps: Tensor) -> FeatureMaps:
    """The channels of maps (C, h, w) that vary most over the image, in order of their number."""
    deviation = maps.flatten(1).std(dim=1, unbiased=False)
    chosen = deviation.topk(min(_NUM_CHANNELS, len(maps))).indices.sort().values
    return FeatureMaps(name, chosen.tolist(), maps[chosen].float().cpu().numpy(), len(maps))
