"""Images that a Python program has in its hands, as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdeepcluster.datasets.base import ArrayImageDataset, BaseImageDataset
from mmdeepcluster.datasets.folder import ImageFolder
from mmdeepcluster.datasets.image_files import ImageFileDataset
from mmdeepcluster.datasets.image_list import ImageList
from mmdeepcluster.datasets.packed_strings import PackedStrings
from mmdeepcluster.datasets.pil_loading import IMAGE_EXTENSIONS, to_rgb

_CHOICES = (
    "a folder, a list file, an image file, a list of paths, of PIL images or of uint8 arrays "
    "(H, W[, 3]), or a uint8 array (N, H, W[, 3])"
)
# One that cannot be read is an error when its turn comes; nothing is decoded twice.
_POLICY = "trust"


class ImageSequence(BaseImageDataset):
    """Images of a list, of any size each.

    Args:
        images: PIL images of any mode, or uint8 arrays (H, W) or (H, W, 3).

    Raises:
        TypeError: an entry is neither.
    """

    def __init__(self, images: Sequence[Any]) -> None:
        self._images = list(images)
        for position, image in enumerate(self._images):
            if not isinstance(image, Image.Image) and not _is_image_array(image):
                raise TypeError(f"image {position} is {_describe(image)}; images are {_CHOICES}")

    def __len__(self) -> int:
        return len(self._images)

    def load_image(self, index: int) -> Image.Image:
        """Returns image ``index``; see the base class."""
        image = self._images[index]
        if isinstance(image, Image.Image):
            return image if image.mode in ("L", "RGB") else to_rgb(image)
        return Image.fromarray(np.ascontiguousarray(image))

    def sample_name(self, index: int) -> str:
        """Its number."""
        return str(index)

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields size and pixels of each image."""
        for index in range(len(self)):
            image = self.load_image(index)
            yield f"{image.mode}{image.size}".encode()
            yield image.tobytes()


def given_images(images: Any) -> BaseImageDataset:
    """A data set of whatever a program calls images.

    Args:
        images: Path of a folder, of a list file or of one image; a list of paths, of PIL images or
            of uint8 arrays (H, W[, 3]); a uint8 array (N, H, W[, 3]); or a data set.

    Raises:
        FileNotFoundError: there is no such folder or file, or no image in it.
        TypeError: something else, naming the choices.
        ValueError: an empty list or array.
    """
    if isinstance(images, BaseImageDataset):
        return images
    if isinstance(images, (str, Path)):
        return _of_path(Path(images).expanduser())
    if isinstance(images, np.ndarray):
        batch = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
        if images.dtype != np.uint8 or not batch:
            raise TypeError(f"images are {_describe(images)}; they must be {_CHOICES}")
        # (H, W, 3) is one colour image, or H grey ones that are three pixels wide: the first.
        if images.ndim == 3 and images.shape[-1] == 3:
            raise TypeError(
                f"images of shape {images.shape} are one image: give images[None], a batch of one"
            )
        return ArrayImageDataset(_some(images), "images")
    if not isinstance(images, Sequence):
        raise TypeError(f"images are {_describe(images)}; they must be {_CHOICES}")
    items = _some(images)
    if all(isinstance(item, (str, Path)) for item in items):
        return ImageFileDataset(Path(), PackedStrings(map(str, items)), unreadable=_POLICY)
    return ImageSequence(items)


def _of_path(path: Path) -> BaseImageDataset:
    if path.is_dir():
        return ImageFolder(path, unreadable=_POLICY)
    if not path.is_file():
        raise FileNotFoundError(f"no such folder or file: '{path}'")
    if path.suffix.lower() in IMAGE_EXTENSIONS:
        return ImageFileDataset(path.parent, PackedStrings([path.name]), unreadable=_POLICY)
    return ImageList(path, unreadable=_POLICY)


def _some(images: Any) -> Any:
    if not len(images):
        raise ValueError("no images: the list or array is empty")
    return images


def _is_image_array(image: Any) -> bool:
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3))
    )


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    return f"of type {type(value).__name__}"
