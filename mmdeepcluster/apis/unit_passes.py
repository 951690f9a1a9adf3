"""Activations of the units of a layer: over images, at a place, and going up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.models import Backbone, FeatureModel
from mmdeepcluster.visualization.gradient_ascent import AscentOptions, ascend, blurred, pink_noise
from mmdeepcluster.visualization.unit_pictures import Place, place_of


class Activations(NamedTuple):
    """What units answered to images.

    Attributes:
        largest: Largest activation over the positions of each image (N, C).
        places: Position (row * w + column) of it (N, C).
        mean: Average over the positions (N, C).
        shape: Shape of the output of the layer for one image.
    """

    largest: NDArray[np.float32]
    places: NDArray[np.int64]
    mean: NDArray[np.float32]
    shape: tuple[int, ...]


def outputs_of(model: FeatureModel, inputs: Tensor, layer: str) -> Tensor:
    """Output (B, C, h, w) or (B, C) of a layer out of ``model.layers``."""
    backbone: Any = model.backbone
    if layer == "neck":
        return model.neck(backbone(inputs)[-1])
    if layer == "backbone":
        return backbone(inputs)[-1]
    if not isinstance(backbone, Backbone):
        return backbone.forward_stages(inputs)[layer]
    with _only(backbone, backbone.stage_names.index(layer)):
        return backbone(inputs)[0]


@contextmanager
def _only(backbone: Backbone, index: int) -> Iterator[None]:
    """Lets a backbone stop at a stage."""
    before = backbone.out_indices
    backbone.out_indices = (index,)
    try:
        yield
    finally:
        backbone.out_indices = before


@torch.no_grad()
def activations(model: FeatureModel, loader: Any, layer: str) -> Activations:
    """Activations of all units of a layer over the images of a loader, in evaluation mode."""
    largest, places, means = [], [], []
    shape: tuple[int, ...] = ()
    for batch in loader:
        found = outputs_of(model, _inputs(model, batch["inputs"]), layer)
        shape = tuple(found.shape[1:])
        flat = found.reshape(len(found), found.shape[1], -1).float()
        peak = flat.max(dim=2)
        largest.append(peak.values.cpu().numpy())
        places.append(peak.indices.cpu().numpy())
        means.append(flat.mean(dim=2).cpu().numpy())
    return Activations(
        np.concatenate(largest), np.concatenate(places), np.concatenate(means), shape
    )


def receptive_places(
    model: FeatureModel, images: Tensor, layer: str, unit: int, places: Sequence[int]
) -> list[Place | None]:
    """The pixels that the activation of a unit at a position of each image depends on.

    Args:
        model: In evaluation mode.
        images: Images (B, C, H, W), uint8.
        layer: The layer.
        unit: The unit.
        places: Position of each image.
    """
    inputs = _inputs(model, images).requires_grad_()
    with torch.enable_grad():
        found = outputs_of(model, inputs, layer)
        flat = found.reshape(len(found), found.shape[1], -1)[:, unit]
        chosen = flat.gather(1, torch.tensor(places, device=flat.device)[:, None])
        (gradient,) = torch.autograd.grad(chosen.sum(), inputs)
    return [place_of(part) for part in gradient.cpu().numpy()]


class Ascents(NamedTuple):
    """Images of units.

    Attributes:
        images: Images (n, H, W, C), uint8.
        reached: Activation of each unit in its image, averaged over positions (n,).
        from_image: Whether the ascent started from an image.
    """

    images: NDArray[np.uint8]
    reached: list[float]
    from_image: list[bool]


def ascents(
    model: FeatureModel,
    layer: str,
    units: Sequence[int],
    seeds: Tensor,
    options: AscentOptions,
    seed: int,
) -> Ascents:
    """Gradient ascent of the average activation of some units.

    Noise may leave a unit behind a ReLU silent, so that there is no gradient to follow: such a
    unit starts from the blurred image that activates it most.

    Args:
        model: In evaluation mode.
        layer: The layer.
        units: The units (n,).
        seeds: For each unit the image (n, C, H, W), uint8, that activates it most.
        options: How.
        seed: Seed of noise and jitter.
    """
    preprocessor: Any = model.data_preprocessor
    mean, std = preprocessor.mean, preprocessor.std
    chosen = torch.tensor(list(units), device=mean.device)[:, None]

    def score(inputs: Tensor) -> Tensor:
        found = outputs_of(model, inputs, layer)
        flat = found.reshape(len(found), found.shape[1], -1).mean(dim=2)
        return flat.gather(1, chosen)[:, 0]

    start = options.start * pink_noise(tuple(seeds.shape), seed).to(mean.device)
    silent = _without_gradient(score, start)
    images = _inputs(model, seeds)
    soft = blurred(images, max(1.0, images.shape[-1] / 32))
    start = torch.where(silent[:, None, None, None], soft, start)
    low, high = (0 - mean) / std, (255 - mean) / std
    found = ascend(score, start, options, seed=seed, low=low, high=high)
    with torch.no_grad():
        reached = score(found)
    pixels = (found * std + mean).round().clamp(0, 255).to(torch.uint8)
    return Ascents(pixels.permute(0, 2, 3, 1).cpu().numpy(), reached.tolist(), silent.tolist())


def _without_gradient(score: Any, images: Tensor) -> Tensor:
    """Which images (B,) a unit does not notice a change of."""
    moved = images.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
    return (gradient == 0).flatten(1).all(dim=1)


def _inputs(model: FeatureModel, images: Tensor) -> Tensor:
    preprocessor: Any = model.data_preprocessor
    return preprocessor({"inputs": images}, training=False)["inputs"]
