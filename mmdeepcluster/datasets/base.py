"""What every image data set of the package offers: indexed images, and labels for evaluation only.

A data set holds no pipeline. Training and evaluation look at the same data set through two
:class:`~mmdeepcluster.datasets.image_view.ImageView` objects, so there is one list of files, one
fingerprint and one order of samples. Cluster labels are no part of it either: they live in the
model and are looked up by ``sample_idx``, so no data worker can hold a stale copy.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BaseImageDataset(ABC):
    """A plain indexed set of images.

    Attributes:
        splits: names of the valid splits; empty where a data set has none (folders and lists).
        split: the split this object shows, ``''`` where there are none.
        eval_labels: known classes, int64 of shape (N,), or None. For evaluation alone: nothing in
            training reads them.
        class_names: name of class ``i`` at position ``i``, or None.
    """

    splits: ClassVar[tuple[str, ...]] = ()
    split: str = ""
    eval_labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    _fingerprint: str | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images, N."""

    @abstractmethod
    def load_image(self, index: int) -> Image.Image:
        """Reads one image.

        Args:
            index: position in ``[0, N)``.

        Returns:
            The image in mode 'RGB' or 'L', 8 bits a channel.
        """

    @abstractmethod
    def sample_name(self, index: int) -> str:
        """Name of a sample for people: the path below the root, or ``'<split>/<index>'``."""

    def image_array(self, indices: NDArray[np.int64] | None = None) -> NDArray[np.uint8] | None:
        """Images as uint8 (n, H, W) or (n, H, W, 3), None where they are not held so.

        Args:
            indices: Which ones; None for all, without a copy where that can be.
        """
        return None

    def file_path(self, index: int) -> str | None:
        """The file of a sample, None where images are no files."""
        return None

    def read_file(self, index: int) -> bytes | None:
        """The encoded image of a sample, of any format, None where images are no files.

        What :meth:`load_image` would decode.
        """
        return None

    @abstractmethod
    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields what identifies all images and their order, whatever the root is."""

    @property
    def num_unreadable(self) -> int:
        """Number of images left out because they cannot be read."""
        return 0

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the images left out because they cannot be read."""
        return ()

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Name of each image left out, and what is wrong with it."""
        return iter(())

    def fingerprint(self) -> str:
        """Identity of the images and of their order, computed at the first call; collective.

        The same data under another root has the same fingerprint. Labels do not enter, since
        they do not change what is trained.

        Returns:
            64 hexadecimal digits (sha256).
        """
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for part in self.fingerprint_parts():
                digest.update(part)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def __repr__(self) -> str:
        split = f", split={self.split!r}" if self.split else ""
        return f"{type(self).__name__}({len(self)} images{split})"


class ArrayImageDataset(BaseImageDataset):
    """Images that are held in memory as one array.

    Args:
        images: uint8 of shape (N, H, W) for grey or (N, H, W, 3) for RGB images; any strides.
        split: one of ``splits``.
        labels: known classes of shape (N,), or None.
        class_names: name of each class, or None.

    Raises:
        ValueError: the array is not uint8 images, or there is not one label per image.
    """

    # Hashing goes through contiguous copies of at most this many images, never of the whole set.
    _HASH_CHUNK: ClassVar[int] = 4096

    def __init__(
        self,
        images: NDArray[np.uint8],
        split: str,
        labels: NDArray[np.int64] | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[-1] == 3
        if images.dtype != np.uint8 or not (grey or colour):
            raise ValueError(
                f"images must be uint8 of shape (N, H, W) or (N, H, W, 3), "
                f"got {images.dtype} of shape {images.shape}"
            )
        if labels is not None and labels.shape != (len(images),):
            raise ValueError(f"{len(images)} images but labels of shape {labels.shape}")
        self._images = images
        self.split = split
        self.eval_labels = None if labels is None else labels.astype(np.int64)
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self._images)

    def load_image(self, index: int) -> Image.Image:
        """Returns image ``index``; see the base class."""
        # torchvision keeps some sets channels first or transposed; copying one image is cheap.
        return Image.fromarray(np.ascontiguousarray(self._images[index]))

    def image_array(self, indices: NDArray[np.int64] | None = None) -> NDArray[np.uint8] | None:
        """The array itself, or some of its images, unless a subclass makes other images of it."""
        if type(self).load_image is not ArrayImageDataset.load_image:
            return None
        return self._images if indices is None else self._images[indices]

    def sample_name(self, index: int) -> str:
        """``'<split>/<index>'``."""
        return f"{self.split}/{index}"

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields the shape, then the pixels in order."""
        yield repr(self._images.shape).encode()
        for start in range(0, len(self), self._HASH_CHUNK):
            yield self._images[start : start + self._HASH_CHUNK].tobytes()


def check_split(owner: type[BaseImageDataset], split: str) -> str:
    """Returns ``split`` if ``owner`` has it.

    Raises:
        ValueError: the data set has no such split; the message lists those it has.
    """
    if split not in owner.splits:
        raise ValueError(
            f"{owner.__name__} has no split {split!r}: set dataset.split to one of "
            f"{', '.join(repr(name) for name in owner.splits)}"
        )
    return split
