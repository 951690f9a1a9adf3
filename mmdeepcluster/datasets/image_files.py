"""Images that are files: what the folder and the list file have in common.

Holds the names compactly, decides before training what happens to unreadable files, and
fingerprints by relative path and size.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.pil_loading import find_unreadable, load_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_NAMES_SHOWN = 5


class PackedStrings(Sequence[str]):
    """An immutable list of strings in two buffers.

    A Python list of a million strings is copied page by page into each data worker, because
    reading a string writes its reference count; two buffers stay shared.

    Args:
        strings: the strings, file names that are not valid UTF-8 included.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [os.fsencode(string) for string in strings]
        self._bytes = b"".join(encoded)
        lengths = np.fromiter((len(item) for item in encoded), np.int64, len(encoded))
        self._ends = np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        end = int(self._ends[index])  # raises IndexError
        position = index % len(self)
        start = int(self._ends[position - 1]) if position else 0
        return os.fsdecode(self._bytes[start:end])


class ImageFileDataset(BaseImageDataset):
    """Image files below a root, in a given order.

    Args:
        root: folder that relative names start from.
        names: path of each image relative to ``root`` with ``/`` between its parts; an absolute
            path is taken as it is.
        labels: known class of each name, shape (len(names),), or None.
        class_names: name of each class, or None.
        unreadable: ``'fail'`` raises if any file cannot be decoded, ``'skip'`` leaves such
            files out, says so, and keeps their names in :attr:`unreadable`.
        num_threads: threads of the check, None for the number of usable CPU cores.

    Raises:
        FileNotFoundError: a named file does not exist and ``unreadable='fail'``.
        ValueError: a file cannot be decoded and ``unreadable='fail'``; no readable image is left;
            or ``unreadable`` is neither of the two.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        labels: NDArray[np.int64] | None = None,
        class_names: tuple[str, ...] | None = None,
        unreadable: str = "fail",
        num_threads: int | None = None,
    ) -> None:
        if unreadable not in ("fail", "skip"):
            raise ValueError(f"dataset.unreadable must be 'fail' or 'skip', got {unreadable!r}")
        self.root = root
        broken = dict(find_unreadable([_join(root, name) for name in names], num_threads))
        if broken:
            self._report(names, broken, unreadable)
        kept = [index for index in range(len(names)) if index not in broken]
        self._names = PackedStrings(names[index] for index in kept)
        self._unreadable = tuple(names[index] for index in broken)
        self.eval_labels = None if labels is None else labels[kept].astype(np.int64)
        self.class_names = class_names

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the files left out, in the order they would have had."""
        return self._unreadable

    def __len__(self) -> int:
        return len(self._names)

    def load_image(self, index: int) -> Image.Image:
        """Reads file ``index`` as RGB; see the base class."""
        return load_rgb(_join(self.root, self._names[index]))

    def sample_name(self, index: int) -> str:
        """Path relative to the root."""
        return self._names[index]

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields relative path and size in bytes of each file; reading all contents takes hours."""
        for name in self._names:
            size = Path(_join(self.root, name)).stat().st_size
            yield os.fsencode(name) + b"\0" + str(size).encode() + b"\0"

    def _report(self, names: Sequence[str], broken: dict[int, str], policy: str) -> None:
        kind = type(self).__name__
        shown = [f"{names[index]} ({broken[index]})" for index in list(broken)[:_NAMES_SHOWN]]
        text = (
            f"{kind}: {len(broken)} of {len(names)} images under {str(self.root)!r} cannot be "
            f"read: {enumerate_names(shown, len(broken))}"
        )
        if len(broken) == len(names):
            raise ValueError(f"{text}; no image is left: check dataset.root (or data_root)")
        if policy == "fail":
            raise ValueError(f"{text}; repair them or leave them out by dataset.unreadable='skip'")
        print_log(f"{text}; they are left out", logger="current", level=logging.WARNING)


def _join(root: Path, name: str) -> str:
    # One C-level call a name: pathlib takes several microseconds, a minute for 10 million names.
    return os.path.join(root, name)  # noqa: PTH118


def enumerate_names(names: Sequence[str], count: int) -> str:
    """Joins the first names of a list of ``count`` for a message."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if count <= _NAMES_SHOWN else f"{shown}, ..."
