"""Steps that move pixels: resizing, random crops, rotations, affine maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mmdeepcluster.datasets.transforms.batched import warp
from mmdeepcluster.datasets.transforms.batched.pixels import crop
from mmdeepcluster.datasets.transforms.batched.resample import RADIUS, axis_weights, resample
from mmdeepcluster.datasets.transforms.batched.sample_random import SampleRandom
from mmdeepcluster.datasets.transforms.batched.steps import BatchStep, Params, Shape

_ATTEMPTS = 10


def _interpolation(transform: Any, known: tuple[str, ...]) -> str:
    """Name of the interpolation of a transform.

    Raises:
        ValueError: it is not one of those that there are.
    """
    value = transform.interpolation
    name = value.value if isinstance(value, v2.InterpolationMode) else value
    if name not in known:
        raise ValueError(
            f"{type(transform).__name__}: interpolation={name!r} is none of {', '.join(known)}"
        )
    return str(name)


class ResizeAll(BatchStep):
    """``Resize``: the same for all images, with the precision of Pillow."""

    random = False

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        self._filter = _interpolation(transform, tuple(RADIUS))
        if transform.size is None or transform.max_size is not None:
            raise ValueError("Resize: max_size cannot be followed, give size alone")
        self.fixes_size = len(transform.size) == 2

    def shape(self, shape: Shape) -> Shape:
        """Both sides as given, or the shorter one as given and the other in proportion."""
        channels, height, width = shape
        if self.fixes_size:
            return (channels, *self.transform.size)
        (short,) = self.transform.size
        long = int(short * max(height, width) / min(height, width))
        return (channels, long, short) if height > width else (channels, short, long)

    def changes(self, shape: Shape) -> bool:
        """Whether images have another size."""
        return self.shape(shape) != shape

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Resizes whole images."""
        sizes = images.shape[2:]
        targets = self.shape((images.shape[1], *sizes))[1:]
        if tuple(sizes) == targets:
            return images
        down, across = (
            axis_weights(
                torch.zeros(1, device=images.device),
                torch.full((1,), float(size), device=images.device),
                size,
                target,
                self._filter,
                torch.float64,
            )
            for size, target in zip(sizes, targets, strict=True)
        )
        return resample(images, across, down)


class CropResize(BatchStep):
    """``RandomResizedCrop``, with its ten attempts and the central crop when all fail."""

    fixes_size = True

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        self._filter = _interpolation(transform, tuple(RADIUS))

    def shape(self, shape: Shape) -> Shape:
        """The size that was asked for."""
        return (shape[0], *self.transform.size)

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """The window of each sample: the first attempt that fits into the image."""
        _, height, width = shape
        ratios = self.transform.ratio
        least, most = self.transform.scale
        areas = random.uniform(least, most, _ATTEMPTS) * (height * width)
        aspects = np.exp(random.uniform(np.log(ratios[0]), np.log(ratios[1]), _ATTEMPTS))
        widths = np.rint(np.sqrt(areas * aspects)).astype(np.int64)
        heights = np.rint(np.sqrt(areas / aspects)).astype(np.int64)
        fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
        first = fits.argmax(axis=1)[:, None]
        some = fits.any(axis=1)
        central = _central_window(height, width, min(ratios), max(ratios))
        high = np.where(some, np.take_along_axis(heights, first, axis=1)[:, 0], central[0])
        wide = np.where(some, np.take_along_axis(widths, first, axis=1)[:, 0], central[1])
        top, left = random.below(height - high + 1), random.below(width - wide + 1)
        return {
            "top": np.where(some, top, (height - high) // 2),
            "left": np.where(some, left, (width - wide) // 2),
            "height": high,
            "width": wide,
        }

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Resizes the windows."""
        high, wide = self.transform.size
        size = images.shape[2:]
        kind = self._filter, torch.float32
        down = axis_weights(params["top"], params["height"], size[0], high, *kind)
        across = axis_weights(params["left"], params["width"], size[1], wide, *kind)
        return resample(images, across, down)


def _central_window(height: int, width: int, least: float, most: float) -> tuple[int, int]:
    """Height and width of the largest window whose shape is allowed."""
    ratio = width / height
    if ratio < least:
        return round(width / least), width
    if ratio > most:
        return height, round(height * most)
    return height, width


class CropAnywhere(BatchStep):
    """``RandomCrop`` with its borders."""

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        self.fixes_size = True

    def _borders(self, shape: Shape) -> list[int]:
        """Pixels to add at the left, top, right and bottom."""
        left, right, top, bottom = self.transform.padding or (0, 0, 0, 0)
        _, height, width = shape
        high, wide = self.transform.size
        if self.transform.pad_if_needed:
            lacking = max(0, high - (height + top + bottom))
            top, bottom = top + lacking, bottom + lacking
            lacking = max(0, wide - (width + left + right))
            left, right = left + lacking, right + lacking
        return [left, top, right, bottom]

    def shape(self, shape: Shape) -> Shape:
        """The size that was asked for.

        Raises:
            ValueError: images are smaller.
        """
        left, top, right, bottom = self._borders(shape)
        padded = (shape[1] + top + bottom, shape[2] + left + right)
        high, wide = self.transform.size
        if padded[0] < high or padded[1] < wide:
            raise ValueError(f"RandomCrop: size={(high, wide)} is larger than images of {padded}")
        return (shape[0], high, wide)

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """The upper left corners."""
        left, top, right, bottom = self._borders(shape)
        high, wide = self.transform.size
        count = np.ones(len(random), np.int64)
        return {
            "top": random.below(count * (shape[1] + top + bottom - high + 1)),
            "left": random.below(count * (shape[2] + left + right - wide + 1)),
        }

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Adds borders and cuts."""
        borders = self._borders((images.shape[1], images.shape[2], images.shape[3]))
        if any(borders):
            fill, mode = self.transform.fill, self.transform.padding_mode
            images = F.pad(images, borders, fill=fill, padding_mode=mode)
        return crop(images, params["top"], params["left"], *self.transform.size)


class Warp(BatchStep):
    """What ``RandomRotation`` and ``RandomAffine`` have in common."""

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        self._filter = _interpolation(transform, ("nearest", "bilinear"))
        if isinstance(transform.fill, dict):
            raise ValueError(f"{type(transform).__name__}: fill must be a number or a list")

    def _centre(self, shape: Shape) -> tuple[float, float]:
        centre = self.transform.center
        return (shape[2] / 2, shape[1] / 2) if centre is None else (centre[0], centre[1])

    def _params(self, maps: Any) -> Params:
        return {"maps": warp.fixed_point(maps) if self._filter == "nearest" else maps}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Maps the images."""
        how = warp.warp_nearest if self._filter == "nearest" else warp.warp_bilinear
        return how(images, params["maps"], self.transform.fill)


class Rotate(Warp):
    """``RandomRotation``."""

    def __init__(self, transform: Any) -> None:
        super().__init__(transform)
        if transform.expand:
            raise ValueError("RandomRotation: expand=True gives images of different sizes")

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Maps for the angles."""
        angles = random.uniform(*self.transform.degrees)
        return self._params(warp.rotation_matrices(angles, self._centre(shape)))


class Affine(Warp):
    """``RandomAffine``."""

    def draw(self, random: SampleRandom, shape: Shape) -> Params:
        """Maps for angles, shifts, scales and shears."""
        angles = random.uniform(*self.transform.degrees)
        shifts = np.zeros((len(random), 2))
        for axis, share in enumerate(self.transform.translate or ()):
            most = share * shape[2 - axis]
            shifts[:, axis] = np.rint(random.uniform(-most, most))
        scales = random.uniform(*(self.transform.scale or (1.0, 1.0)))
        shears = np.zeros((len(random), 2))
        bounds = self.transform.shear or ()
        for axis in range(len(bounds) // 2):
            shears[:, axis] = random.uniform(bounds[2 * axis], bounds[2 * axis + 1])
        centre = self._centre(shape)
        return self._params(warp.affine_matrices(angles, shifts, scales, shears, centre))
