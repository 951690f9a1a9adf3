"""Transforms of whole batches, each after one of ``torchvision.transforms.v2``.

A step takes its options from the torchvision transform that it stands for, which has checked them.
Random parameters have the same distributions, and are drawn on the host for all samples at once;
images change on their device. What the steps do to an image is what torchvision does to a PIL
image, up to one grey level in resizing and blurring.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mmdeepcluster.datasets.transforms.batched import color
from mmdeepcluster.datasets.transforms.batched.blur import blur_weights, gaussian_blur
from mmdeepcluster.datasets.transforms.batched.pixels import change_some
from mmdeepcluster.datasets.transforms.batched.sample_random import SampleRandom

Shape = tuple[int, int, int]
# Arrays whose first dimension is that of the samples, or of some of them; nested lists and dicts.
Params = dict[str, Any]


class BatchStep(ABC):
    """One transform of batches (B, C, H, W) of uint8 images.

    Args:
        transform: the torchvision transform that it stands for.

    Attributes:
        random: whether it draws; others do the same to every image.
        fixes_size: whether images of any size come out in one size.

    Raises:
        ValueError: an option of the transform cannot be followed.
    """

    random: ClassVar[bool] = True
    fixes_size: bool = False

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def shape(self, shape: Shape) -> Shape:
        """Shape (C, H, W) of an image behind the step."""
        return shape

    def changes(self, shape: Shape) -> bool:
        """Whether it does anything to images of that shape."""
        return True

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Parameters of each sample, for images of that shape."""
        return {}

    @abstractmethod
    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Changes images, which may be overwritten, with parameters that are on their device."""


class ToRGB(BatchStep):
    """``RGB``: grey images get three equal channels."""

    random = False

    def shape(self, shape: Shape) -> Shape:
        """Three channels."""
        return (3, *shape[1:])

    def changes(self, shape: Shape) -> bool:
        """Whether images are grey."""
        return shape[0] == 1

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Repeats a single channel."""
        return images.expand(-1, 3, -1, -1).contiguous() if images.shape[1] == 1 else images


class ToGrey(BatchStep):
    """``Grayscale``."""

    random = False

    def shape(self, shape: Shape) -> Shape:
        """As many channels as were asked for."""
        return (self.transform.num_output_channels, *shape[1:])

    def changes(self, shape: Shape) -> bool:
        """Whether images are not yet what was asked for."""
        return (shape[0], self.transform.num_output_channels) != (1, 1)

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Luma, repeated where three channels are wanted."""
        grey = images if images.shape[1] == 1 else color.grey_levels(images.float()).byte()
        return grey.expand(-1, self.transform.num_output_channels, -1, -1).contiguous()


class MaybeGrey(BatchStep):
    """``RandomGrayscale``."""

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Which samples become grey."""
        return {"chosen": np.flatnonzero(random.uniform() < self.transform.p)}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Gives the chosen ones equal channels."""
        if images.shape[1] == 1:
            return images

        def greyed(some: Tensor) -> Tensor:
            return color.grey_levels(some.float()).byte().expand(some.shape)

        return change_some(images, params["chosen"], greyed)


class MaybeFlip(BatchStep):
    """``RandomHorizontalFlip`` and ``RandomVerticalFlip``."""

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Which samples are flipped."""
        return {"chosen": np.flatnonzero(random.uniform() < self.transform.p)}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Flips the chosen ones."""
        dim = 3 if isinstance(self.transform, v2.RandomHorizontalFlip) else 2
        return change_some(images, params["chosen"], lambda some: some.flip(dim))


class Centre(BatchStep):
    """``CenterCrop``."""

    random = False
    fixes_size = True

    def shape(self, shape: Shape) -> Shape:
        """The size that was asked for."""
        return (shape[0], *self.transform.size)

    def changes(self, shape: Shape) -> bool:
        """Whether images have another size."""
        return self.shape(shape) != shape

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Cuts, or surrounds with black."""
        centre: Tensor = F.center_crop(images, list(self.transform.size))
        return centre


class Jitter(BatchStep):
    """``ColorJitter``: up to four changes in an order that each sample draws."""

    _CHANGES = (
        ("brightness", color.adjust_brightness),
        ("contrast", color.adjust_contrast),
        ("saturation", color.adjust_saturation),
        ("hue", color.adjust_hue),
    )

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """For each turn and change the samples whose turn it is, and the factors of the changes."""
        order = random.uniform(count=len(self._CHANGES)).argsort(axis=1)
        factors, turns = {}, []
        for name, _ in self._CHANGES:
            bounds = getattr(self.transform, name)
            values = random.uniform(*((0.0, 0.0) if bounds is None else bounds))
            if bounds is not None:
                factors[name] = values.astype(np.float32)
        for turn in order.T:
            for number, (name, _) in enumerate(self._CHANGES):
                if name in factors:
                    rows = np.flatnonzero(turn == number)
                    turns.append({"rows": rows, "factors": factors[name][rows]})
        return {"turns": turns}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Makes the changes in turn."""
        active = [change for name, change in self._CHANGES if getattr(self.transform, name)]
        values = images.float()
        for number, part in enumerate(params["turns"]):
            change, factors = active[number % len(active)], part["factors"]
            values = change_some(values, part["rows"], functools.partial(change, factors=factors))
        return values.byte()


class Blur(BatchStep):
    """``GaussianBlur``."""

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Weights of each sample along both axes."""
        sigmas = random.uniform(*self.transform.sigma)
        across, down = (blur_weights(sigmas, size) for size in self.transform.kernel_size)
        return {"across": across, "down": down}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Blurs."""
        return gaussian_blur(images, params["across"], params["down"])


class MaybeAll(BatchStep):
    """``RandomApply``: all of its transforms or none.

    Args:
        transform: the torchvision transform.
        steps: steps for the transforms in it.

    Raises:
        ValueError: one of them changes the shape of images.
    """

    def __init__(self, transform: Any, steps: Sequence[BatchStep]) -> None:
        super().__init__(transform)
        self.steps = steps

    def shape(self, shape: Shape) -> Shape:
        """The same, or a batch would not have one shape."""
        for step in self.steps:
            if step.shape(shape) != shape:
                raise ValueError(
                    f"RandomApply: {type(step.transform).__name__} in it makes {step.shape(shape)} "
                    f"of {shape}, and a batch needs one shape"
                )
        return shape

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Which samples are changed, and their parameters."""
        chosen = np.flatnonzero(random.uniform() < self.transform.p)
        some = random.rows(chosen)
        parts = [step.draw(some.child(n), shape) for n, step in enumerate(self.steps)]
        return {"chosen": chosen, "parts": parts}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Changes the chosen ones."""

        def all_of_them(some: Tensor) -> Tensor:
            for step, part in zip(self.steps, params["parts"], strict=True):
                some = step.apply(some, part)
            return some

        return change_some(images, params["chosen"], all_of_them)


def to_device(params: Any, device: torch.device) -> Any:
    """Parameters as tensors on a device; copies to a GPU do not wait for it."""
    if isinstance(params, dict):
        return {name: to_device(value, device) for name, value in params.items()}
    if isinstance(params, list):
        return [to_device(value, device) for value in params]
    tensor = torch.from_numpy(np.ascontiguousarray(params))
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor
