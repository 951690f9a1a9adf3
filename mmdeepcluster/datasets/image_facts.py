"""What there is to know of each image before training, by threads and by all ranks together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.file_check import deal

_CHUNK = 32
_DIGEST_BYTES = 16
# Sides at which an image is looked at for colours: a thousand pixels say it.
_SMALL = 32
# Channels of a grey JPEG that was stored in colour differ by rounding.
_GREY_TOLERANCE = 4


class ImageFacts(NamedTuple):
    """One image.

    Attributes:
        digest: Of its contents: of the bytes of its file, or of size and pixels.
        size: Width and height, (0, 0) if it cannot be read.
        grey: Whether it has no colour.
        shape: Shape (C, H, W) behind the pipeline; empty if there is none.
        unreadable: Why it cannot be read, or None.
        refused: Why the pipeline cannot be run on it, or None.
    """

    digest: bytes
    size: tuple[int, int] = (0, 0)
    grey: bool = False
    shape: tuple[int, ...] = ()
    unreadable: str | None = None
    refused: str | None = None


def look_at_images(
    dataset: BaseImageDataset,
    pipeline: Callable[[Any], Any],
    num_threads: int | None = None,
) -> Iterator[ImageFacts]:
    """Decodes all images and runs a pipeline on each; collective.

    Each rank of a running process group looks at a share of them.

    Args:
        dataset: The images; of files, one whose ``unreadable`` is ``'trust'``, so that those that
            cannot be read are among them.
        pipeline: The evaluation pipeline.
        num_threads: Threads (decoders release the interpreter lock). Defaults to None, the usable
            CPU cores.

    Yields:
        What was found, in the order of the data set.
    """
    total = len(dataset)

    def look(chunk: int) -> list[ImageFacts]:
        last = min((chunk + 1) * _CHUNK, total)
        return [look_at(dataset, index, pipeline) for index in range(chunk * _CHUNK, last)]

    def told(done: int) -> str:
        return f"looked at {min(done * _CHUNK, total):,} of {total:,} images"

    for facts in deal(-(-total // _CHUNK), look, num_threads, 128, told):
        yield from facts


def look_at(dataset: BaseImageDataset, index: int, pipeline: Callable[[Any], Any]) -> ImageFacts:
    """Decodes one image and runs a pipeline on it."""
    digest = b""
    try:
        data = dataset.read_file(index)
        if data is not None:
            digest = _digest(data)
        image = dataset.load_image(index)
        if data is None:
            digest = _digest(repr(image.size).encode() + image.mode.encode() + image.tobytes())
    except Exception as error:  # Pillow has many for damaged files
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        return ImageFacts(digest, unreadable=reason)
    shape: tuple[int, ...] = ()
    refused = None
    try:
        shape = tuple(pipeline(image).shape)
    except Exception as error:  # whatever a transform raises
        refused = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ImageFacts(digest, image.size, is_grey(image), shape, None, refused)


def is_grey(image: Image.Image) -> bool:
    """Whether an image in mode 'L' or 'RGB' has no colour."""
    if image.mode == "L":
        return True
    if max(image.size) > _SMALL:
        image = image.resize((_SMALL, _SMALL), Image.Resampling.NEAREST)
    pixels = np.asarray(image, dtype=np.int16)
    return bool((pixels.max(axis=-1) - pixels.min(axis=-1)).max() <= _GREY_TOLERANCE)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
