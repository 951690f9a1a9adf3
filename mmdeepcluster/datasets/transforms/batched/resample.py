"""Antialiased resizing of windows of images, one window for each, as Pillow does it.

A pass along an axis is a product with a matrix of weights that holds, for each output pixel, the
filter around its place, normalised, as Pillow's ``Resample.c`` computes them. Weights are whole
numbers of 2^-15 (Pillow's: 2^-22), so that in fp32 every partial sum of ``pixel * weight`` is
exact: the order of a sum, and with it the batch an image is in, the processor and the number of
threads, do not matter. Pixels differ from Pillow's by at most one grey level, and seldom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Pillow's filters with the radius of each.
RADIUS = {"bilinear": 1.0, "bicubic": 2.0}
# fp32: 8 bits of a pixel, 15 of a weight, and one for negative weights of the cubic filter.
_BITS = {torch.float32: 15, torch.float64: 22}


def axis_weights(
    start: Tensor, length: Tensor, size: int, out_size: int, interpolation: str, dtype: torch.dtype
) -> Tensor:
    """Weights of a pass along one axis.

    Args:
        start: first pixel of each window, (B,).
        length: number of its pixels, (B,).
        size: pixels of the axis.
        out_size: pixels of the result.
        interpolation: ``bilinear`` or ``bicubic``.
        dtype: fp32, or fp64 for the precision of Pillow.

    Returns:
        Whole numbers (B, out_size, size), in units of ``2^-bits``.
    """
    begin, pixels = (value.to(dtype).view(-1, 1, 1) for value in (start, length))
    scale = pixels / out_size
    stretch = scale.clamp(min=1.0)
    centres = torch.arange(out_size, device=start.device, dtype=dtype).add_(0.5)
    centres = centres.view(1, -1, 1) * scale
    places = torch.arange(size, device=start.device, dtype=dtype).add_(0.5).view(1, 1, -1) - begin
    weights = _filter(((places - centres) / stretch).abs_(), interpolation)
    weights *= ((places > 0) & (places < pixels)).to(dtype)
    if dtype == torch.float32:
        # Sums of whole numbers are exact.
        weights = weights.mul_(2.0 ** _BITS[dtype]).round_()
    total = weights.sum(dim=2, keepdim=True)
    return weights.mul_(2.0 ** _BITS[dtype]).div_(total).round_()


def _filter(distance: Tensor, interpolation: str) -> Tensor:
    """The filter at distances >= 0, which it may overwrite."""
    if interpolation == "bilinear":
        return distance.neg_().add_(1.0).clamp_(min=0.0)
    # Keys' cubic with a = -0.5, as Pillow's.
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return torch.where(distance < 1, near, far) * (distance < 2)


def resample(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Resizes along the rows, rounds, and resizes along the columns, in the order of Pillow.

    Args:
        images: (B, C, H, W), uint8.
        across: weights (B or 1, W', W) of :func:`axis_weights`.
        down: weights (B or 1, H', H), of the same type.

    Returns:
        (B, C, H', W'), uint8.
    """
    batch, channels, height, width = images.shape
    # Rows with channels inside, so that both passes are plain products of matrices.
    values = images.permute(0, 2, 1, 3).to(across.dtype).reshape(batch, height * channels, width)
    with exact_products():
        values = _to_levels(torch.matmul(values, across.transpose(1, 2)))
        values = values.view(batch, height, channels * across.shape[1])
        values = _to_levels(torch.matmul(down, values))
    values = values.view(batch, down.shape[1], channels, across.shape[1])
    return values.permute(0, 2, 1, 3).to(torch.uint8, memory_format=torch.contiguous_format)


def _to_levels(sums: Tensor) -> Tensor:
    """Whole grey levels, halves up, of sums in units of the weights."""
    bits = _BITS[sums.dtype]
    return sums.add_(2.0 ** (bits - 1)).mul_(2.0**-bits).floor_().clamp_(0.0, 255.0)


@contextmanager
def exact_products() -> Iterator[None]:
    """Products in the type of their operands, whatever the user allowed for those of the network.

    TF32, or bf16 inside of fp32 products, would round the weights.
    """
    allowed = torch.get_float32_matmul_precision()
    if allowed == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
