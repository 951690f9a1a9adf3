"""Many strings in two buffers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PackedStrings(Sequence[str]):
    """An immutable list of strings in two buffers.

    A Python list of a million strings is copied page by page into each data worker, because
    reading a string writes its reference count; two buffers stay shared.

    Args:
        strings: the strings, file names that are not valid UTF-8 included.

    Attributes:
        buffer: their bytes, one behind the other.
        ends: where each ends in the buffer, int64 (n,).
    """

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [os.fsencode(string) for string in strings]
        self.buffer = b"".join(encoded)
        lengths = np.fromiter((len(item) for item in encoded), np.int64, len(encoded))
        self.ends = np.cumsum(lengths)

    @classmethod
    def of_buffers(cls, buffer: bytes, ends: NDArray[np.int64]) -> PackedStrings:
        """The strings whose buffers these are."""
        strings = cls(())
        strings.buffer, strings.ends = buffer, ends
        return strings

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        end = int(self.ends[index])  # raises IndexError
        position = index % len(self)
        start = int(self.ends[position - 1]) if position else 0
        return os.fsdecode(self.buffer[start:end])
