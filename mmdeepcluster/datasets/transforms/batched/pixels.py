"""Pixels of a batch of images, taken from other places of the same image.

Plain indexing of a tensor costs eight times what ``index_select`` of a flat one does on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def take_pixels(images: Tensor, places: Tensor) -> Tensor:
    """Some pixels of each image.

    Args:
        images: (B, C, H, W).
        places: ``row * W + column`` for each pixel of the result, int32 (B, H', W').

    Returns:
        (B, C, H', W').
    """
    batch, channels, height, width = images.shape
    size, kind = height * width, torch.int32 if images.numel() < 2**31 else torch.int64
    flat = images.contiguous().view(-1)
    first = torch.arange(batch, device=images.device, dtype=kind).view(-1, 1, 1)
    first = first * (channels * size)
    planes = [
        flat.index_select(0, (places + (first + channel * size)).view(-1)).view(places.shape)
        for channel in range(channels)
    ]
    return torch.stack(planes, dim=1) if channels > 1 else planes[0].unsqueeze(1)


def crop(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Windows (B, C, height, width) whose upper left corners are (top, left), integers (B,)."""
    options: dict[str, Any] = {"device": images.device, "dtype": torch.int32}
    rows = top.int().view(-1, 1, 1) + torch.arange(height, **options).view(1, -1, 1)
    columns = left.int().view(-1, 1, 1) + torch.arange(width, **options).view(1, 1, -1)
    return take_pixels(images, rows * images.shape[3] + columns)


def with_border(images: Tensor, fill: float | Sequence[float] | None) -> Tensor:
    """Images (B, C, H + 2, W + 2) with a border of the colour ``fill``, black for None."""
    batch, channels, height, width = images.shape
    result = images.new_zeros(batch, channels, height + 2, width + 2)
    if isinstance(fill, Sequence):
        for channel in range(channels):
            result[:, channel] = fill[channel if len(fill) > 1 else 0]
    elif fill:
        result.fill_(fill)
    result[:, :, 1:-1, 1:-1] = images
    return result


def change_some(images: Tensor, rows: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Changes the images of these rows, int64 (n,), in place."""
    if len(rows) == 0:
        return images
    if len(rows) == len(images):
        return change(images)
    return images.index_copy_(0, rows, change(images.index_select(0, rows)))
