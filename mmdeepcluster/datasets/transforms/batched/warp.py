"""Affine maps of images, one for each, as Pillow applies them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.datasets.transforms.batched.pixels import take_pixels, with_border

_ONE = 65536.0


def rotation_matrices(
    angles: NDArray[np.float64], centre: tuple[float, float]
) -> NDArray[np.float64]:
    """Maps (B, 6) from places of the result to places of the image, of ``Image.rotate``.

    Args:
        angles: degrees, counter-clockwise, (B,).
        centre: (x, y) of the fixed point.
    """
    radians = -np.radians(angles % 360.0)
    # Pillow rounds as well, so that multiples of 90 degrees have true zeros.
    cosine, sine = (np.round(f(radians), 15).astype(np.float64) for f in (np.cos, np.sin))
    x, y = centre
    columns = [
        cosine, sine, cosine * -x + sine * -y + x,
        -sine, cosine, -sine * -x + cosine * -y + y,
    ]  # fmt: skip
    return np.stack(columns, axis=1)


def affine_matrices(
    angles: NDArray[np.float64],
    shifts: NDArray[np.float64],
    scales: NDArray[np.float64],
    shears: NDArray[np.float64],
    centre: tuple[float, float],
) -> NDArray[np.float64]:
    """Maps (B, 6) from places of the result to places of the image, of torchvision's ``affine``.

    Args:
        angles: degrees, clockwise, (B,).
        shifts: (B, 2), pixels along x and y.
        scales: (B,).
        shears: degrees along x and y, (B, 2).
        centre: (x, y) of the fixed point.
    """
    turn, shear_x, shear_y = np.radians(angles), *np.radians(shears).T
    a = np.cos(turn - shear_y) / np.cos(shear_y)
    b = -np.cos(turn - shear_y) * np.tan(shear_x) / np.cos(shear_y) - np.sin(turn)
    c = np.sin(turn - shear_y) / np.cos(shear_y)
    d = -np.sin(turn - shear_y) * np.tan(shear_x) / np.cos(shear_y) + np.cos(turn)
    xx, xy, yx, yy = d / scales, -b / scales, -c / scales, a / scales
    x, y = centre
    back_x, back_y = -x - shifts[:, 0], -y - shifts[:, 1]
    columns = [xx, xy, xx * back_x + xy * back_y + x, yx, yy, yx * back_x + yy * back_y + y]
    return np.stack(columns, axis=1)


def fixed_point(matrices: NDArray[np.float64]) -> NDArray[np.int32]:
    """Maps (B, 6) of pixel numbers in units of 2^-16, of Pillow's ``affine_fixed``."""
    fixed = matrices.copy()
    for offset in (2, 5):
        # From the number of a pixel to its middle.
        fixed[:, offset] += matrices[:, offset - 2] * 0.5 + matrices[:, offset - 1] * 0.5
    return np.floor(fixed * _ONE + 0.5).astype(np.int32)


def warp_nearest(images: Tensor, maps: Tensor, fill: float | Sequence[float] | None) -> Tensor:
    """Takes for each pixel the one that its middle falls into.

    Args:
        images: (B, C, H, W).
        maps: of :func:`fixed_point`, int32 (B, 6).
        fill: colour where there is none.
    """
    height, width = images.shape[2:]
    options: dict[str, Any] = {"device": images.device, "dtype": torch.int32}
    x = torch.arange(width, **options).view(1, 1, -1)
    y = torch.arange(height, **options).view(1, -1, 1)
    parts = maps.view(-1, 6, 1, 1).unbind(1)
    columns = (parts[0] * x + (parts[1] * y + parts[2])).bitwise_right_shift_(16)
    rows = (parts[3] * x + (parts[4] * y + parts[5])).bitwise_right_shift_(16)
    # What lies outside of the image falls on its border.
    columns, rows = columns.clamp_(-1, width).add_(1), rows.clamp_(-1, height).add_(1)
    return take_pixels(with_border(images, fill), rows.mul_(width + 2).add_(columns))


def warp_bilinear(images: Tensor, matrices: Tensor, fill: float | Sequence[float] | None) -> Tensor:
    """Interpolates between the four pixels around a place, as Pillow does, in fp64.

    Args:
        images: (B, C, H, W), uint8.
        matrices: maps (B, 6) in fp64.
        fill: colour where there is none.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device, dtype=torch.float64).view(1, 1, -1) + 0.5
    y = torch.arange(height, device=images.device, dtype=torch.float64).view(1, -1, 1) + 0.5
    parts = matrices.view(-1, 6, 1, 1).unbind(1)
    across = parts[0] * x + parts[1] * y + parts[2]
    down = parts[3] * x + parts[4] * y + parts[5]
    outside = (across < 0) | (across >= width) | (down < 0) | (down >= height)
    across, down = across - 0.5, down - 0.5
    left, top = across.floor(), down.floor()
    share_x, share_y = (across - left).unsqueeze(1), (down - top).unsqueeze(1)

    def corner(rows: Tensor, columns: Tensor) -> Tensor:
        places = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
        return take_pixels(images, places.int()).double()

    upper, lower = corner(top, left), corner(top + 1, left)
    upper = upper + (corner(top, left + 1) - upper) * share_x
    lower = lower + (corner(top + 1, left + 1) - lower) * share_x
    values = (upper + (lower - upper) * share_y).clamp_(0, 255).to(torch.uint8)
    colour = with_border(images[:1, :, :1, :1], fill)[:, :, :1, :1]
    return torch.where(outside.unsqueeze(1), colour, values)
