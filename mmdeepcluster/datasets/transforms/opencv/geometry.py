"""Geometric transforms with the conventions of Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode

from mmdeepcluster.datasets.transforms.opencv.draws import draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmdeepcluster.datasets.transforms.opencv.canvas import Canvas

_WARPS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR}
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
RESIZE_FILTERS = ("bilinear", "bicubic")
WARP_FILTERS = tuple(_WARPS)


def filter_name(transform: Any) -> str:
    """Name of a transform's interpolation."""
    return str(InterpolationMode(transform.interpolation).value)


def resize(transform: Any, canvas: Canvas) -> None:
    """The whole image at another size."""
    height, width = canvas.size
    size = resized_size((height, width), transform.size, transform.max_size)
    canvas.resize_part((0, 0, height, width), size, filter_name(transform))


def resized_size(
    size: tuple[int, int], wanted: int | Sequence[int] | None, max_size: int | None
) -> tuple[int, int]:
    """Height and width that torchvision's ``Resize`` gives an image.

    Args:
        size: height and width of the image.
        wanted: height and width, the shorter side, or None for ``max_size`` as the longer side.
        max_size: most that the longer side may have, or None.
    """
    if wanted is not None and not isinstance(wanted, int):
        if len(wanted) == 2:
            return int(wanted[0]), int(wanted[1])
        wanted = wanted[0]
    short, long = sorted(size)
    if wanted is None:
        assert max_size is not None
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = wanted, int(wanted * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_short, new_long) if size[0] <= size[1] else (new_long, new_short)


def random_resized_crop(transform: Any, canvas: Canvas) -> None:
    """A random part at a given size."""
    drawn = draw(transform, [canvas.shape_for_torchvision()])
    part = (drawn["top"], drawn["left"], drawn["height"], drawn["width"])
    height, width = transform.size
    canvas.resize_part(part, (height, width), filter_name(transform))


def center_crop(transform: Any, canvas: Canvas) -> None:
    """The middle, with black around an image that is smaller."""
    height, width = transform.size
    rows, columns = max(height - canvas.size[0], 0), max(width - canvas.size[1], 0)
    if rows or columns:
        margins = (columns // 2, rows // 2, (columns + 1) // 2, (rows + 1) // 2)
        _pad(canvas, margins, 0, "constant")
    top, left = round((canvas.size[0] - height) / 2.0), round((canvas.size[1] - width) / 2.0)
    canvas.crop(top, left, height, width)


def random_crop(transform: Any, canvas: Canvas) -> None:
    """A random part of a given size, padded first if so configured."""
    drawn = draw(transform, [canvas.shape_for_torchvision()])
    if drawn["needs_pad"]:
        _pad(canvas, drawn["padding"], transform.fill, transform.padding_mode)
    if drawn["needs_crop"]:
        canvas.crop(drawn["top"], drawn["left"], drawn["height"], drawn["width"])


def _pad(canvas: Canvas, margins: Sequence[int], fill: Any, mode: str) -> None:
    """Adds margins to the left, at the top, to the right, at the bottom."""
    left, top, right, bottom = margins
    border = _BORDERS[mode]
    color = _fill_color(fill, canvas)
    canvas.pixels = cv2.copyMakeBorder(canvas.pixels, top, bottom, left, right, border, value=color)


def random_horizontal_flip(transform: Any, canvas: Canvas) -> None:
    """Left becomes right, sometimes."""
    if torch.rand(1).item() < transform.p:
        canvas.pixels = cv2.flip(canvas.pixels, 1)


def random_vertical_flip(transform: Any, canvas: Canvas) -> None:
    """Top becomes bottom, sometimes."""
    if torch.rand(1).item() < transform.p:
        canvas.pixels = cv2.flip(canvas.pixels, 0)


def random_rotation(transform: Any, canvas: Canvas) -> None:
    """A random turn, anticlockwise; the image keeps its size."""
    drawn = draw(transform, [canvas.shape_for_torchvision()])
    _warp(canvas, transform, -drawn["angle"], (0, 0), 1.0, (0.0, 0.0))


def random_affine(transform: Any, canvas: Canvas) -> None:
    """A random turn, clockwise, with shear, zoom and shift."""
    drawn = draw(transform, [canvas.shape_for_torchvision()])
    _warp(canvas, transform, drawn["angle"], drawn["translate"], drawn["scale"], drawn["shear"])


def _warp(
    canvas: Canvas,
    transform: Any,
    angle: float,
    shift: tuple[int, int],
    scale: float,
    shear: tuple[float, float],
) -> None:
    """Turns (degrees, clockwise), shears (degrees), zooms and shifts (pixels) about a centre."""
    height, width = canvas.size
    center = transform.center or (width / 2, height / 2)
    matrix = _output_to_input(center, angle, shift, scale, shear)
    # Pixel (0, 0) has its middle at (0.5, 0.5) in Pillow and at (0, 0) in OpenCV.
    matrix[:, 2] += (matrix[:, 0] + matrix[:, 1] - 1.0) / 2
    canvas.pixels = cv2.warpAffine(
        canvas.pixels,
        matrix,
        (width, height),
        flags=_WARPS[filter_name(transform)] | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_fill_color(transform.fill, canvas),
    )


def _output_to_input(
    center: Sequence[float],
    angle: float,
    shift: tuple[int, int],
    scale: float,
    shear: tuple[float, float],
) -> NDArray[np.float64]:
    """The matrix (2, 3) from places of the output to those of the input."""
    turn, (shear_x, shear_y) = math.radians(angle), map(math.radians, shear)
    # Turn after shear along y after shear along x, times scale; numpy would take 20 microseconds
    # for the inverse of a matrix whose determinant is scale^2.
    xx = math.cos(turn) + math.sin(turn) * math.tan(shear_y)
    yx = math.sin(turn) - math.cos(turn) * math.tan(shear_y)
    xy = -xx * math.tan(shear_x) - math.sin(turn)
    yy = -yx * math.tan(shear_x) + math.cos(turn)
    back = ((yy / scale, -xy / scale), (-yx / scale, xx / scale))
    x, y = center[0] + shift[0], center[1] + shift[1]
    rows = [(a, b, c - a * x - b * y) for (a, b), c in zip(back, center, strict=True)]
    return np.array(rows)


def gaussian_blur(transform: Any, canvas: Canvas) -> None:
    """Blurs with a random width."""
    sigma_x, sigma_y = draw(transform)["sigma"]
    # torchvision's order is width, height
    width, height = transform.kernel_size
    canvas.pixels = cv2.GaussianBlur(
        canvas.pixels, (width, height), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT_101
    )


def _fill_color(fill: Any, canvas: Canvas) -> tuple[float, ...]:
    """A colour as OpenCV takes it: one number for each channel."""
    count = 1 if canvas.is_grey else 3
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)):
        return (int(fill),) * count
    values = tuple(int(value) for value in fill)
    if len(values) != count:
        raise ValueError(f"fill={fill!r} has {len(values)} numbers, the image {count} channels")
    return values
