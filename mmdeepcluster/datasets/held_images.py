"""Images of a data set as one tensor, where they have one shape and fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mmdeepcluster.datasets.array_view import as_images
from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.data_worker import begin_worker
from mmdeepcluster.datasets.image_view import ImageView, MixedShapesError
from mmdeepcluster.datasets.samplers import Draw
from mmdeepcluster.datasets.transforms.batched import BatchPipeline, BatchStep
from mmdeepcluster.datasets.transforms.batched.steps import Shape

# Images that are decoded or changed at once.
_CHUNK = 512


class HeldImages(NamedTuple):
    """The images behind the first steps of a pipeline.

    Attributes:
        images: uint8 (N, C, H, W), of any strides.
        num_done: number of steps that they have behind them; these are not random.
    """

    images: Tensor
    num_done: int


def hold_images(
    dataset: BaseImageDataset,
    steps: Sequence[BatchStep],
    limit: int,
    device: torch.device,
    num_workers: int = 0,
) -> HeldImages | str:
    """Holds the images of a data set, if they have one shape and take at most ``limit`` bytes.

    Steps before the first random one are made once, here, if their result fits. On the CPU, images
    that the data set holds as an array already are not copied, unless such steps change them.

    Args:
        dataset: the images.
        steps: steps of the training pipeline.
        limit: largest size in bytes.
        device: where the images go.
        num_workers: processes that decode files.

    Returns:
        The images, or why they are not held.
    """
    number = next((n for n, step in enumerate(steps) if step.random), len(steps))
    array = dataset.image_array()
    if array is None:
        first = [step.transform for step in steps[:number]]
        return _of_files(dataset, first, limit, device, num_workers)
    images = as_images(array)
    shape: Shape = (images.shape[1], images.shape[2], images.shape[3])
    start = BatchPipeline(steps[:number])
    behind = start.shape(shape)
    if len(images) * torch.Size(behind).numel() <= limit:
        return HeldImages(_behind(images, start, behind, device), number)
    if images.numel() <= limit:
        return HeldImages(images.to(device), 0)
    return _too_large(len(images), shape, limit)


def _behind(images: Tensor, start: BatchPipeline, shape: Shape, device: torch.device) -> Tensor:
    """Images behind steps that are not random."""
    raw: Shape = (images.shape[1], images.shape[2], images.shape[3])
    if not any(step.changes(raw) for step in start.steps):
        return images.to(device)
    result = torch.empty(len(images), *shape, dtype=torch.uint8, device=device)
    parts: list[Any] = [{} for _ in start.steps]
    for first in range(0, len(images), _CHUNK):
        part = images[first : first + _CHUNK].to(device).contiguous()
        result[first : first + _CHUNK] = start.apply(part, parts)
    return result


def _of_files(
    dataset: BaseImageDataset,
    start: Sequence[Any],
    limit: int,
    device: torch.device,
    num_workers: int,
) -> HeldImages | str:
    """Decodes all images once, through the steps that are not random, as torchvision does them."""
    pipeline = v2.Compose([*start, v2.PILToTensor()])
    view = _FittingView(dataset, pipeline, name="train_pipeline")
    channels, height, width = view.image_shape
    size = torch.Size(view.image_shape).numel()
    if len(view) * size > limit:
        return _too_large(len(view), (channels, height, width), limit)
    result = torch.empty(len(view), *view.image_shape, dtype=torch.uint8, device=device)
    loader = DataLoader(
        view,
        batch_size=_CHUNK,
        num_workers=num_workers,
        worker_init_fn=begin_worker,
        generator=torch.Generator(),  # it draws a seed, and would do so from the global one
    )
    for batch in loader:
        if not bool(batch["fits"].all()):
            return "images have different shapes"
        result[batch["sample_idx"].to(device)] = batch["inputs"].to(device)
    return HeldImages(result, len(start))


class _FittingView(ImageView):
    """A view that says which samples have the shape of the first one, instead of raising.

    An exception that leaves a loop over a loader with data workers keeps its iterator in a cycle;
    collected later, pipes are closed twice, and those of the next loader may be among them.
    """

    def __getitem__(self, key: int | Draw) -> dict[str, Any]:
        """The sample, or zeros, and whether it ``fits``."""
        try:
            return {**super().__getitem__(key), "fits": True}
        except MixedShapesError:
            zeros = torch.zeros(self.image_shape, dtype=torch.uint8)
            return {"inputs": zeros, "sample_idx": key, "fits": False}


def _too_large(number: int, shape: Shape, limit: int) -> str:
    size = number * torch.Size(shape).numel()
    return (
        f"{number} images of {'x'.join(map(str, shape))} take {size / 2**20:.0f} MiB, more than "
        f"train_dataloader.in_memory_limit={limit / 2**20:.0f} MiB"
    )
