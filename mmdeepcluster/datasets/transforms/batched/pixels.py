"""Pixels of a batch of images, taken from other places of the same image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def take_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixel (rows, columns) of each image for each place of the result.

    Args:
        images: (B, C, H, W).
        rows: int64, of a shape that broadcasts to (B, H', W'); inside the image.
        columns: the same.

    Returns:
        (B, C, H', W').
    """
    batch, channels, height, width = images.shape
    places = rows * width + columns
    first = torch.arange(batch, device=images.device).view(-1, 1, 1) * (channels * height * width)
    flat = images.contiguous().view(-1)
    planes = [
        flat[(places + (first + channel * height * width)).view(-1)].view(batch, *places.shape[1:])
        for channel in range(channels)
    ]
    return torch.stack(planes, dim=1)


def crop(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Windows (B, C, height, width) whose upper left corners are (top, left), int64 (B,)."""
    rows = top.view(-1, 1, 1) + torch.arange(height, device=images.device).view(1, -1, 1)
    columns = left.view(-1, 1, 1) + torch.arange(width, device=images.device).view(1, 1, -1)
    return take_pixels(images, rows, columns)


def fill_where(images: Tensor, outside: Tensor, fill: float | Sequence[float] | None) -> Tensor:
    """Images with the colour ``fill`` (black for None) where ``outside`` (B, H, W)."""
    colour = [0.0 if fill is None else fill] if not isinstance(fill, Sequence) else list(fill)
    values = torch.tensor(colour, dtype=torch.float32).to(images.dtype)
    return torch.where(outside.unsqueeze(1), values.view(1, -1, 1, 1).to(images.device), images)
