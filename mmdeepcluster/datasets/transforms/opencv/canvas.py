"""An image on its way through a pipeline: a file that is decoded as late as possible, or pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from mmdeepcluster.datasets.jpeg_file import REDUCTIONS, JpegFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A file is decoded at 1/r of its size where the part that is wanted stays this much larger than
# what becomes of it. Mean absolute difference to decoding at full size, photographs of VOC at 64
# pixels: 3.5 of 255 at 1.0, 1.7 at 1.25, 1.5 at 1.5, 0.9 at 2.0.
_SPARE = 1.5


class Canvas:
    """An image between two transforms.

    Args:
        image: a PIL image in mode 'L' or 'RGB', or a JPEG file that has not been decoded.
    """

    def __init__(self, image: Image.Image | JpegFile) -> None:
        self._file: JpegFile | None = None
        self._pixels: NDArray[Any] | None = None
        if isinstance(image, JpegFile):
            self._file = image
        else:
            self._pixels = np.array(image)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        if self._pixels is None:
            assert self._file is not None
            width, height = self._file.size
            return height, width
        return self._pixels.shape[0], self._pixels.shape[1]

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel."""
        return self._pixels is not None and self._pixels.ndim == 2

    @property
    def pixels(self) -> NDArray[Any]:
        """Pixels (H, W) or (H, W, 3)."""
        if self._pixels is None:
            assert self._file is not None
            self._pixels = self._file.decode()
        return self._pixels

    @pixels.setter
    def pixels(self, pixels: NDArray[Any]) -> None:
        self._pixels = pixels

    def shape_for_torchvision(self) -> Tensor:
        """A tensor (C, H, W) without contents: transforms of torchvision draw by its shape."""
        return torch.empty((1 if self.is_grey else 3, *self.size), device="meta")

    def crop(self, top: int, left: int, height: int, width: int) -> None:
        """Keeps a part, which lies within the image."""
        self.pixels = np.ascontiguousarray(self.pixels[top : top + height, left : left + width])

    def resize_part(
        self, part: tuple[int, int, int, int], size: tuple[int, int], filter_name: str
    ) -> None:
        """Makes an image of ``size`` from a part: antialiased, as Pillow does.

        Where the part is much larger than the result, a file is decoded at a fraction of its size;
        the edges of the part are then rounded to the pixels that there are.

        Args:
            part: top, left, height, width, within the image.
            size: height and width of the result.
            filter_name: 'bilinear' or 'bicubic'.
        """
        top, left, height, width = part
        pixels = self._pixels
        if pixels is None:
            assert self._file is not None
            whole = self.size
            pixels = self._file.decode(_reduction((height, width), size))
            top, bottom = _scaled(top, top + height, pixels.shape[0] / whole[0])
            left, right = _scaled(left, left + width, pixels.shape[1] / whole[1])
        else:
            bottom, right = top + height, left + width
        self._pixels = _resize(pixels[top:bottom, left:right], size, filter_name)


def _reduction(part: tuple[int, int], size: tuple[int, int]) -> int:
    """The most that a file may be reduced while it is decoded."""
    shrink = min(part[0] / size[0], part[1] / size[1]) / _SPARE
    return next((reduction for reduction in REDUCTIONS if reduction <= shrink), 1)


def _scaled(low: int, high: int, factor: float) -> tuple[int, int]:
    return round(low * factor), round(high * factor)


def _resize(pixels: NDArray[Any], size: tuple[int, int], filter_name: str) -> NDArray[Any]:
    # torch has Pillow's filters for uint8 (at most one level apart), three times as fast. OpenCV
    # has none: INTER_LINEAR aliases and INTER_AREA is another filter.
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    image = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None])
    planes = interpolate(
        image.permute(2, 0, 1)[None], size, mode=filter_name, align_corners=False, antialias=True
    )[0].numpy()
    # Copying a permuted array would take as long as the resizing.
    return planes[0] if pixels.ndim == 2 else cv2.merge(list(planes))
