"""What each step of a pipeline makes of a sample, with the draws and the executor of training.

The image behind step k is what the first k steps alone make of the same draw: every executor takes
its random numbers in the order of the steps, or by their number, so the later ones do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mmdeepcluster.datasets.array_view import as_images
from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.device_loader import HeldLoader, WorkerLoader
from mmdeepcluster.datasets.image_view import ImageView
from mmdeepcluster.datasets.opencv_view import OpenCVView
from mmdeepcluster.datasets.samplers import Draw
from mmdeepcluster.datasets.transforms.batched import BatchPipeline, build_steps

# Steps that change no pixel.
TO_TENSOR = ("PILToTensor", "ToImage")
Loader = DataLoader[dict[str, Any]] | HeldLoader | WorkerLoader


class Step(NamedTuple):
    """A sample behind one step.

    Attributes:
        name: Of the transform.
        image: uint8 or float (C, H, W), on the CPU.
    """

    name: str
    image: Tensor


def trace(loader: Loader, pipeline: Sequence[Mapping[str, Any]], key: Draw | int) -> list[Step]:
    """Follows one sample through a pipeline.

    Args:
        loader: Loader of the view of that pipeline, as training or evaluation has it.
        pipeline: Transform configs.
        key: What the loader would ask the view for: a draw in training, an index in evaluation.

    Returns:
        The sample behind each step; the last is what the loader hands out, bit for bit.
    """
    names = [_name(step) for step in pipeline]
    images = [image_behind(loader, pipeline, number + 1, key) for number in range(len(names))]
    return [Step(*pair) for pair in zip(names, images, strict=True)]


def image_behind(
    loader: Loader, pipeline: Sequence[Mapping[str, Any]], number: int, key: Draw | int
) -> Tensor:
    """A sample behind the first ``number`` steps; see :func:`trace`."""
    view: Any = loader.dataset
    if isinstance(loader, (HeldLoader, WorkerLoader)):
        if not isinstance(key, Draw):
            raise TypeError(f"samples of this loader are drawn with a seed, got {key!r}")
        return _on_device(loader, view, number, key)
    kind = OpenCVView if isinstance(view, OpenCVView) else ImageView
    return _by_view(kind, view, pipeline[:number], key)


def _by_view(
    kind: type[ImageView],
    view: ImageView,
    steps: Sequence[Mapping[str, Any]],
    key: Draw | int,
) -> Tensor:
    """By a view of the first steps, image by image."""
    if not any(_name(step) in TO_TENSOR for step in steps):
        steps = [*steps, {"type": "PILToTensor"}]
    return kind(_Only(view.dataset, key), steps, name=view.name).image(_at_first(key))


class _Only(BaseImageDataset):
    """One image of a data set, as a data set: a view tries its first image."""

    def __init__(self, dataset: BaseImageDataset, key: Draw | int) -> None:
        self._dataset = dataset
        self._index = key.index if isinstance(key, Draw) else key

    def __len__(self) -> int:
        return 1

    def load_image(self, index: int) -> Image.Image:
        return self._dataset.load_image(self._index)

    def read_file(self, index: int) -> bytes | None:
        return self._dataset.read_file(self._index)

    def sample_name(self, index: int) -> str:
        return self._dataset.sample_name(self._index)

    def fingerprint_parts(self) -> Iterator[bytes]:
        yield from self._dataset.fingerprint_parts()


def _at_first(key: Draw | int) -> Draw | int:
    return Draw(0, key.seed) if isinstance(key, Draw) else 0


def _name(step: Any) -> str:
    kind = step["type"]
    return kind if isinstance(kind, str) else kind.__name__


def _on_device(
    loader: HeldLoader | WorkerLoader, view: ImageView, number: int, draw: Draw
) -> Tensor:
    """By batches of one on the device."""
    transforms = list(view.pipeline.transforms)[:-1]  # type: ignore[attr-defined]
    number = min(number, len(transforms))
    first = loader.pipeline.first
    if number < first:
        image = _before(loader, view, transforms[:number], draw)
    elif isinstance(loader, HeldLoader):
        image = loader.images[draw.index]
    else:
        image = loader.decoded(draw)
    rest = BatchPipeline(loader.pipeline.steps[: max(0, number - first)], first)
    batch = image.unsqueeze(0).to(loader.device).contiguous()
    return rest(batch, np.array([draw.seed]))[0].cpu()


def _before(
    loader: HeldLoader | WorkerLoader, view: ImageView, transforms: Sequence[Any], draw: Draw
) -> Tensor:
    """Behind steps that were made before: of an array in batches, else by torchvision."""
    array = view.dataset.image_array(np.array([draw.index]))
    if isinstance(loader, HeldLoader) and array is not None:
        steps = BatchPipeline(build_steps(transforms))
        return steps.apply(as_images(array).contiguous(), [{} for _ in transforms])[0]
    pipeline = v2.Compose([*transforms, v2.PILToTensor()])
    # Steps of held images are not random, so that the seed is of no matter to them.
    return ImageView(_Only(view.dataset, draw), pipeline, name=view.name).image(_at_first(draw))


def final_image(loader: Loader, key: Draw | int) -> Tensor:
    """What the loader hands out for a draw, on the CPU."""
    view: Any = loader.dataset
    if isinstance(loader, (HeldLoader, WorkerLoader)):
        assert isinstance(key, Draw)
        return _on_device(loader, view, len(view.pipeline.transforms), key)
    return view[key]["inputs"]


def to_pixels(image: Tensor) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) to look at, of a grey or colour image (C, H, W).

    Floats in 0..1 are multiplied by 255; others, such as normalised ones, are stretched from their
    least to their greatest value.

    Raises:
        ValueError: The image has neither 1 nor 3 channels.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"an image of {image.shape[0]} channels cannot be shown, only 1 or 3")
    if image.dtype != torch.uint8:
        image = image.float()
        low, high = float(image.min()), float(image.max())
        if low < 0 or high > 1:
            image = (image - low) / max(high - low, 1e-12)
        image = (image * 255).round().to(torch.uint8)
    pixels: np.ndarray = image.permute(1, 2, 0).numpy()
    return pixels[..., 0] if image.shape[0] == 1 else pixels


__all__ = ["TO_TENSOR", "Step", "final_image", "image_behind", "to_pixels", "trace"]
