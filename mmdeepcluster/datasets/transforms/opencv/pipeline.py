"""Runs a training pipeline by OpenCV: the same draws as torchvision's, nearly the same pixels.

Each transform of torchvision draws its own parameters, in the same order and from the same
generator, so that with one seed both crop the same part and turn it by the same angle; only the
arithmetic on pixels is another. Transforms after the image became a tensor are torchvision's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from mmdeepcluster.datasets.jpeg_file import JpegFile
from mmdeepcluster.datasets.transforms.opencv import color, geometry
from mmdeepcluster.datasets.transforms.opencv.canvas import Canvas
from mmdeepcluster.datasets.transforms.torchvision_v2 import build_pipeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXECUTORS: dict[type, Callable[[Any, Canvas], None]] = {
    v2.RGB: color.rgb,
    v2.Grayscale: color.grayscale,
    v2.ColorJitter: color.color_jitter,
    v2.RandomGrayscale: color.random_grayscale,
    v2.Resize: geometry.resize,
    v2.CenterCrop: geometry.center_crop,
    v2.RandomCrop: geometry.random_crop,
    v2.RandomResizedCrop: geometry.random_resized_crop,
    v2.RandomHorizontalFlip: geometry.random_horizontal_flip,
    v2.RandomVerticalFlip: geometry.random_vertical_flip,
    v2.RandomRotation: geometry.random_rotation,
    v2.RandomAffine: geometry.random_affine,
    v2.GaussianBlur: geometry.gaussian_blur,
}
_TO_TENSOR = (v2.PILToTensor, v2.ToImage)
_WAY_OUT = "set train_dataloader.transforms='torchvision'"


class OpenCVPipeline:
    """A pipeline for images and for JPEG files that have not been decoded.

    OpenCV's own threads are switched off in every process that holds one: data workers share the
    cores already.

    Args:
        pipeline: transform configs, as for
            :func:`~mmdeepcluster.datasets.transforms.build_pipeline`.

    Raises:
        ValueError: a transform, or an option of one, that OpenCV does not execute here; an unknown
            transform or a bad value.
        TypeError: an unknown option, or nothing makes a tensor of the image.
    """

    def __init__(self, pipeline: Sequence[Mapping[str, Any]]) -> None:
        # No name or option is read twice: what torchvision accepts is looked at afterwards.
        transforms = list(build_pipeline(pipeline).transforms)
        places = [i for i, transform in enumerate(transforms) if type(transform) in _TO_TENSOR]
        if not places:
            raise TypeError("nothing makes a tensor of the image: add dict(type='PILToTensor')")
        self._steps, self._to_tensor = transforms[: places[0]], transforms[places[0]]
        rest = transforms[places[0] + 1 :]
        self._rest = v2.Compose(rest) if rest else None
        for step in self._steps:
            _check(step)
        cv2.setNumThreads(0)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        cv2.setNumThreads(0)

    def __call__(self, image: Image.Image | JpegFile) -> Tensor:
        """Transforms an image.

        Args:
            image: in mode 'L' or 'RGB', or a JPEG file.

        Returns:
            A tensor (C, H, W).
        """
        canvas = Canvas(image)
        for step in self._steps:
            _run(step, canvas)
        tensor = torch.from_numpy(_channels_first(canvas.pixels))
        if type(self._to_tensor) is v2.ToImage:
            tensor = tv_tensors.Image(tensor)
        return tensor if self._rest is None else self._rest(tensor)

    def __repr__(self) -> str:
        steps = [*self._steps, self._to_tensor, *(self._rest.transforms if self._rest else ())]
        return f"OpenCV: {v2.Compose(steps)}"


def _run(transform: Any, canvas: Canvas) -> None:
    if type(transform) is v2.RandomApply:
        if torch.rand(1).item() < transform.p:
            for inner in transform.transforms:
                _run(inner, canvas)
    else:
        _EXECUTORS[type(transform)](transform, canvas)


def _check(transform: Any) -> None:
    """Refuses what would be executed otherwise than by torchvision."""
    kind = type(transform)
    if kind is v2.RandomApply:
        for inner in transform.transforms:
            _check(inner)
        return
    name = kind.__name__
    if kind not in _EXECUTORS:
        known = ", ".join(sorted({item.__name__ for item in _EXECUTORS} | {"RandomApply"}))
        raise ValueError(
            f"train_dataloader.transforms='opencv' cannot execute {name!r} before PILToTensor; it "
            f"executes {known}: {_WAY_OUT}"
        )
    if hasattr(transform, "interpolation"):
        resizes = kind in (v2.Resize, v2.RandomResizedCrop)
        filters = geometry.RESIZE_FILTERS if resizes else geometry.WARP_FILTERS
        if geometry.filter_name(transform) not in filters:
            raise ValueError(
                f"train_dataloader.transforms='opencv' executes {name!r} with interpolation "
                f"{' or '.join(map(repr, filters))}, not {geometry.filter_name(transform)!r}: "
                f"{_WAY_OUT}"
            )
    for option, plain in (("expand", False), ("fill", None)):
        value = getattr(transform, option, plain)
        if (option == "expand" and value) or isinstance(value, dict):
            raise ValueError(
                f"train_dataloader.transforms='opencv' cannot execute {name!r} with "
                f"{option}={value!r}: {_WAY_OUT}"
            )


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, 3) to (C, H, W)."""
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[None])
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, list(planes))
    return planes
