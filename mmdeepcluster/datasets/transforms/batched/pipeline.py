"""A pipeline of torchvision transforms, executed in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from mmdeepcluster.datasets.transforms.batched import geometry_steps, steps
from mmdeepcluster.datasets.transforms.batched.sample_random import SampleRandom
from mmdeepcluster.datasets.transforms.batched.steps import BatchStep, Shape, to_device

STEPS: Mapping[type, Callable[[Any], BatchStep]] = {
    v2.CenterCrop: steps.Centre,
    v2.ColorJitter: steps.Jitter,
    v2.GaussianBlur: steps.Blur,
    v2.Grayscale: steps.ToGrey,
    v2.RGB: steps.ToRGB,
    v2.RandomAffine: geometry_steps.Affine,
    v2.RandomApply: lambda transform: steps.MaybeAll(transform, build_steps(transform.transforms)),
    v2.RandomCrop: geometry_steps.CropAnywhere,
    v2.RandomGrayscale: steps.MaybeGrey,
    v2.RandomHorizontalFlip: steps.MaybeFlip,
    v2.RandomResizedCrop: geometry_steps.CropResize,
    v2.RandomRotation: geometry_steps.Rotate,
    v2.RandomVerticalFlip: steps.MaybeFlip,
    v2.Resize: geometry_steps.ResizeAll,
}


def build_steps(transforms: Sequence[Any]) -> list[BatchStep]:
    """A step for each transform.

    Raises:
        ValueError: there is none for one of them, or an option of it cannot be followed; the
            message says which there are.
    """
    return [_build(transform) for transform in transforms]


def _build(transform: Any) -> BatchStep:
    way_out = "set train_dataloader.transforms='torchvision'"
    kind = STEPS.get(type(transform))
    if kind is None:
        known = ", ".join(sorted(known.__name__ for known in STEPS))
        raise ValueError(
            f"train_dataloader.transforms='device' cannot execute {type(transform).__name__}; it "
            f"executes {known}, and PILToTensor at the end; {way_out}"
        )
    try:
        return kind(transform)
    except ValueError as error:
        if way_out in str(error):
            raise
        raise ValueError(
            f"train_dataloader.transforms='device': {error}; change it, or {way_out}"
        ) from error


class BatchPipeline:
    """Steps one after the other, with random parameters that follow from the seeds of the draws.

    Args:
        steps: the steps.
        first: number of the first of them in the whole pipeline, from which its random numbers
            follow. Defaults to 0.
    """

    def __init__(self, steps: Sequence[BatchStep], first: int = 0) -> None:
        self.steps = list(steps)
        self.first = first

    def shape(self, shape: Shape) -> Shape:
        """Shape of images (C, H, W) behind the pipeline."""
        for step in self.steps:
            shape = step.shape(shape)
        return shape

    def draw(self, seeds: NDArray[np.int64], shape: Shape) -> list[Any]:
        """Parameters of each step for draws with these seeds, int64 (B,), and images (C, H, W)."""
        random = SampleRandom.from_seeds(seeds)
        params = []
        for number, step in enumerate(self.steps, start=self.first):
            params.append(step.draw(random.child(number), shape))
            shape = step.shape(shape)
        return params

    def apply(self, images: Tensor, params: Sequence[Any]) -> Tensor:
        """Changes images (B, C, H, W), which may be overwritten."""
        for step, part in zip(self.steps, params, strict=True):
            images = step.apply(images, to_device(part, images.device))
        return images

    @torch.no_grad()
    def __call__(self, images: Tensor, seeds: NDArray[np.int64]) -> Tensor:
        """Augments uint8 images (B, C, H, W) of draws with these seeds."""
        channels, height, width = images.shape[1:]
        return self.apply(images, self.draw(seeds, (channels, height, width)))
