"""Quarter turns of images."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_rotations(num_images: int, num_rotations: int) -> Tensor:
    """A number of quarter turns for each image, int64 (B,) on the CPU; each equally often.

    Drawn from torch's default generator on the CPU, whose state is saved with a training. Shares
    that cannot be equal go to rotations by chance.
    """
    order = torch.randperm(num_images)
    if num_rotations == 1:
        return torch.zeros_like(order)
    return (order + torch.randint(num_rotations, (1,))) % num_rotations


def rotate(images: Tensor, rotations: Tensor) -> Tensor:
    """Turns each image counter-clockwise by its number of quarter turns, exactly (R56).

    Args:
        images: Square images (B, C, H, H).
        rotations: Quarter turns, int64 (B,) on the CPU.

    Returns:
        Images of the same shape, as ``numpy.rot90`` over (H, W) makes them.

    Raises:
        ValueError: If an image that has to be turned is not square.
    """
    if not bool(rotations.any()):
        return images
    check_square(tuple(images.shape[1:]))
    turned = images.clone()
    for turns in (1, 2, 3):
        chosen = (rotations == turns).nonzero().flatten().to(images.device, non_blocking=True)
        if len(chosen):
            turned[chosen] = torch.rot90(images[chosen], turns, dims=(2, 3))
    return turned


def check_square(shape: tuple[int, ...]) -> None:
    """Refuses images (C, H, W) that a quarter turn would change the shape of.

    Raises:
        ValueError: If H is not W.
    """
    _, height, width = shape
    if height != width:
        raise ValueError(
            f"images of {height}x{width} cannot be turned by 90 degrees in a batch: crop to a "
            "square in train_pipeline, or set model.num_rotations=1"
        )
