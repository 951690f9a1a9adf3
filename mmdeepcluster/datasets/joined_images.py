"""Some images of several data sets, one data set after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmdeepcluster.datasets.base import BaseImageDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


class JoinedImages(BaseImageDataset):
    """Chosen images of data sets in a row; there are no known classes.

    Args:
        parts: Pairs of a data set and the indices (n,) of its images, in the order wanted.

    Raises:
        ValueError: There is no image.
        IndexError: A data set has no such image.
    """

    def __init__(self, parts: Sequence[tuple[BaseImageDataset, NDArray[np.int64]]]) -> None:
        self._parts = [(part, np.asarray(rows, dtype=np.int64)) for part, rows in parts]
        for part, rows in self._parts:
            if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(part):
                raise IndexError(f"{part} has no images {int(rows.min())} to {int(rows.max())}")
        self._ends = np.cumsum([len(rows) for _, rows in self._parts])
        if not self._parts or self._ends[-1] == 0:
            raise ValueError("no images: the parts are empty")

    def __len__(self) -> int:
        return int(self._ends[-1])

    def load_image(self, index: int) -> Image.Image:
        """Returns image ``index``; see the base class."""
        part, row = self._find(index)
        return part.load_image(row)

    def sample_name(self, index: int) -> str:
        """Its name in its data set."""
        part, row = self._find(index)
        return part.sample_name(row)

    def file_path(self, index: int) -> str | None:
        """Its file, where it is one."""
        part, row = self._find(index)
        return part.file_path(row)

    def read_file(self, index: int) -> bytes | None:
        """Its encoded image, where it is a file."""
        part, row = self._find(index)
        return part.read_file(row)

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields the identity of each data set, then which of its images these are."""
        for part, rows in self._parts:
            yield part.fingerprint().encode()
            yield rows.tobytes()

    def _find(self, index: int) -> tuple[BaseImageDataset, int]:
        """The data set that holds image ``index``, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} is outside [0, {len(self)})")
        number = int(np.searchsorted(self._ends, index, side="right"))
        part, rows = self._parts[number]
        return part, int(rows[index - int(self._ends[number]) + len(rows)])
