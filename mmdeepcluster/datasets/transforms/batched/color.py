"""Colours of images, with one factor for each image, to the bit as Pillow changes them.

Images are fp32 (B, C, H, W) and hold whole numbers from 0 to 255, which fp32 holds exactly; what
comes out does as well. Grey images have C = 1.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``first + share * (second - first)``, cut to 0..255 and to whole numbers (``Blend.c``)."""
    return (second - first).mul_(share.view(-1, 1, 1, 1)).add_(first).clamp_(0.0, 255.0).floor_()


def grey_levels(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of ITU-R 601, in Pillow's fixed point."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    # All partial sums are whole and below 2^24.
    total = (red * 19595.0).add_(green * 38470.0).add_(blue * 7471.0).add_(32768.0)
    return total.mul_(2.0**-16).floor_()


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Towards black (below 1) or away from it; factors (B,)."""
    return (images * factors.view(-1, 1, 1, 1)).clamp_(max=255.0).floor_()


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Towards the mean grey level of the image, rounded, or away from it."""
    levels = grey_levels(images).flatten(1)
    # Below 2^53, so in fp64 exact in any order.
    mean = levels.sum(dim=1, dtype=torch.float64) / levels.shape[1]
    return blend((mean + 0.5).floor_().float().view(-1, 1, 1, 1), images, factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Towards the grey image or away from it."""
    return images if images.shape[1] == 1 else blend(grey_levels(images), images, factors)


def adjust_hue(images: Tensor, factors: Tensor) -> Tensor:
    """Turns the circle of colours by ``factors`` in [-0.5, 0.5], through Pillow's 8-bit HSV."""
    if images.shape[1] == 1:
        return images
    hue, saturation, value = _to_hsv(images)
    turned = hue + (factors * 255.0).trunc().view(-1, 1, 1)
    turned.sub_((turned * (1 / 256)).floor_().mul_(256.0))
    return _from_hsv(turned, saturation, value)


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value (B, H, W), each 0..255."""
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    # 0 where it is the largest channel, otherwise 1; comparisons and where() cost far more.
    not_red, not_green = (value - red).clamp_(max=1.0), (value - green).clamp_(max=1.0)
    difference = (red - green).mul_(not_green).add_((blue - red).mul_(1.0 - not_green))
    difference.mul_(not_red).add_((green - blue).mul_(1.0 - not_red))
    # 0: red, 1: green, 2: blue is the largest
    sector = not_green.add_(1.0).mul_(not_red)
    hues, saturations = _hsv_tables(images.device)
    place = sector.mul_(256.0).add_(spread).mul_(512.0).add_(difference).add_(256.0)
    hue = hues.index_select(0, place.int().view(-1)).view(value.shape)
    place = (value * 256.0).add_(spread)
    return hue, saturations.index_select(0, place.int().view(-1)).view(value.shape), value


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The image (B, 3, H, W): each channel is ``v (1 - s c(h))`` with c in 0..255 as well."""
    image = hue.new_empty(hue.shape[0], 3, *hue.shape[1:])
    place = hue * 6.0
    for channel, shift in enumerate((1275.0, 765.0, 255.0)):
        # On a circle of 1530, c is a trapezium around 510.
        far = torch.minimum((place + (shift - 510.0)).abs_(), (place + (shift - 2040.0)).abs_())
        share = far.neg_().add_(510.0).clamp_(0.0, 255.0)
        # Whole numbers below 2^24 until the division.
        numerator = share.mul_(saturation).neg_().add_(65025.0).mul_(value)
        torch.floor(numerator.div_(65025.0).add_(0.5), out=image[:, channel])
    return image


@functools.cache
def _hsv_tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Hue by (sector, spread, difference) and saturation by (value, spread), from Pillow's floats.

    Exact quotients lie on the borders of whole numbers, so the float arithmetic of ``Convert.c`` is
    repeated, once for all arguments that there are.
    """
    spread = np.arange(256, dtype=np.float32)[None, :, None]
    difference = np.arange(-256, 256, dtype=np.float32)[None, None, :]
    sector = np.array([0.0, 2.0, 4.0])[:, None, None]
    one = np.float32(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Distances of the two smaller channels from the largest; the smallest one's is 1.
        first = np.where(difference >= 0, one, (spread + difference) / spread)
        second = np.where(difference >= 0, (spread - difference) / spread, one)
        turn = np.where(sector == 0, first - second, sector + first - second).astype(np.float32)
        hue = (
            np.fmod(turn.astype(np.float64) / 6.0 + 1.0, 1.0).astype(np.float32).astype(np.float64)
            * 255.0
        )
        saturation = (spread[0].T / spread[0]).astype(np.float32).astype(np.float64) * 255.0
    return _whole(hue, device), _whole(saturation, device)


def _whole(table: NDArray[np.float64], device: torch.device) -> Tensor:
    """Whole numbers from 0 to 255, 0 where there is no quotient."""
    finite = np.where(np.isfinite(table), table, 0.0)
    return torch.from_numpy(np.clip(np.trunc(finite), 0, 255).astype(np.float32).ravel()).to(device)
