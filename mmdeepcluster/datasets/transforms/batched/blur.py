"""Gaussian blur of a batch, with one width for each image."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.datasets.transforms.batched.resample import exact_products

# 8 bits of a pixel and two weights make 52, which fp64 holds exactly in any order of summing.
_BITS = 22


def blur_weights(sigmas: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Weights (B, size) of torchvision's ``gaussian_blur``, whole numbers in units of 2^-22."""
    edge = (size - 1) / (2.0 * math.sqrt(2.0))
    places = np.linspace(-edge, edge, size)
    weights = np.exp(-np.square(places[None] / sigmas[:, None]))
    return np.rint(weights / weights.sum(axis=1, keepdims=True) * 2.0**_BITS)


def gaussian_blur(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Blurs uint8 images (B, C, H, W), mirrored at their borders.

    Args:
        images: the images.
        across: weights along x, of :func:`blur_weights`, (B, odd).
        down: weights along y.

    Raises:
        ValueError: the images are not larger than half of the weights, which cannot be mirrored.
    """
    batch, channels, height, width = images.shape
    if across.shape[1] // 2 >= width or down.shape[1] // 2 >= height:
        raise ValueError(
            f"GaussianBlur: kernel_size={(across.shape[1], down.shape[1])} is too large for images "
            f"of {width}x{height}"
        )
    values = images.permute(0, 2, 1, 3).double().reshape(batch, height * channels, width)
    with exact_products():
        values = torch.matmul(values, _bands(across, width).transpose(1, 2))
        values = torch.matmul(_bands(down, height), values.view(batch, height, channels * width))
    values = values.mul_(2.0 ** (-2 * _BITS)).round_().clamp_(0.0, 255.0)
    values = values.view(batch, height, channels, width).permute(0, 2, 1, 3)
    return values.to(torch.uint8, memory_format=torch.contiguous_format)


def _bands(weights: Tensor, size: int) -> Tensor:
    """Matrices (B, size, size) whose row i weighs the pixels around pixel i."""
    reach = weights.shape[1] // 2
    target = torch.arange(size, device=weights.device)
    bands = weights.new_zeros(len(weights), size, size)
    for number, weight in enumerate(weights.unbind(1)):
        source = (target + number - reach).abs()
        source = torch.where(source >= size, 2 * (size - 1) - source, source)
        bands[:, target, source] += weight.unsqueeze(1)
    return bands
