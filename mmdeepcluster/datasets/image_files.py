"""Images that are files: what the folder and the list file have in common.

Decides before training what happens to unreadable files, holds no Python object per image, and
fingerprints by relative path and size.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.file_check import Finding, check_files
from mmdeepcluster.datasets.pil_loading import find_defect, load_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

UNREADABLE_POLICIES = ("fail", "skip", "trust")
_NAMES_SHOWN = 5
_BLOCK = 4096


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

    Collective unless ``unreadable='trust'``: where a process group is running, every rank builds
    the data set, looks at a share of the files and learns what the others found.

    Args:
        root: folder that relative names start from.
        names: path of each image relative to ``root`` with ``/`` between its parts; an absolute
            path is taken as it is. Kept, not copied.
        labels: known class of each name, int64 of shape (len(names),), or None.
        class_names: name of each class, or None.
        unreadable: ``'fail'`` raises if any file cannot be decoded; ``'skip'`` leaves such files
            out, says so, and keeps their positions for :attr:`unreadable`; ``'trust'`` opens no
            file beforehand, and one that cannot be read raises when it is loaded.
        num_threads: threads of the check, None for the number of usable CPU cores.

    Raises:
        FileNotFoundError: a named file does not exist and ``unreadable='fail'``.
        RuntimeError: the ranks of a process group see different numbers of files.
        ValueError: a file cannot be decoded and ``unreadable='fail'``; no readable image is left;
            or ``unreadable`` is none of the three.
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
        check_policy(unreadable)
        self.root = root
        self._names = names
        self._policy = unreadable
        self._left_out: NDArray[np.int64] = np.zeros(0, np.int64)
        if unreadable != "trust":
            self._left_out = self._find_broken(num_threads)
        # Image i is name i + (number of names left out before it), found by bisection.
        self._shifts = self._left_out - np.arange(len(self._left_out))
        self.eval_labels = self._kept(labels)
        self.class_names = class_names

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the files left out, in the order they would have had."""
        return tuple(self._names[position] for position in self._left_out.tolist())

    def __len__(self) -> int:
        return len(self._names) - len(self._left_out)

    def load_image(self, index: int) -> Image.Image:
        """Reads file ``index`` as RGB; see the base class.

        Raises:
            OSError: the file cannot be read and ``unreadable='trust'``; the message names it.
        """
        path = _join(self.root, self.sample_name(index))
        try:
            return load_rgb(path)
        except Exception as error:
            if self._policy != "trust":
                raise
            raise OSError(
                f"{path!r} cannot be read ({type(error).__name__}: {error}), and "
                f"dataset.unreadable='trust' had no file checked beforehand: repair it, or have "
                f"all of them found before training by 'fail' or left out by 'skip'"
            ) from error

    def sample_name(self, index: int) -> str:
        """Path relative to the root."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} is outside [0, {len(self)})")
        return self._names[index + int(np.searchsorted(self._shifts, index, "right"))]

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields relative path and size in bytes of each file; reading all contents takes hours.

        Raises:
            FileNotFoundError: a file does not exist (any more).
        """
        for start in range(0, len(self._names), _BLOCK):
            block = list(self._names[start : start + _BLOCK])
            low, high = np.searchsorted(self._left_out, (start, start + _BLOCK))
            for position in reversed(self._left_out[low:high].tolist()):
                del block[position - start]
            for name in block:
                path = _join(self.root, name)
                try:
                    size = os.stat(path).st_size  # noqa: PTH116 (pathlib takes twice the time)
                except FileNotFoundError as error:
                    raise FileNotFoundError(
                        f"image {path!r} does not exist: restore it, or leave missing images out "
                        f"by dataset.unreadable='skip'"
                    ) from error
                yield os.fsencode(name) + b"\0" + str(size).encode() + b"\0"

    def _kept(self, labels: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Labels of the images that are not left out."""
        if labels is None or not len(self._left_out):
            return labels
        return np.delete(labels, self._left_out)

    def _find_broken(self, num_threads: int | None) -> NDArray[np.int64]:
        """Decodes all files and returns the positions of those to leave out, (n,)."""
        broken, shown = summarize(
            check_files(self._names, lambda name: find_defect(_join(self.root, name)), num_threads)
        )
        if not len(broken):
            return broken
        examples = [f"{self._names[index]} ({reason})" for index, reason in shown]
        text = (
            f"{type(self).__name__}: {len(broken)} of {len(self._names)} images under "
            f"{str(self.root)!r} cannot be read: {enumerate_names(examples, len(broken))}"
        )
        if len(broken) == len(self._names):
            raise ValueError(f"{text}; no image is left: check dataset.root (or data_root)")
        if self._policy == "fail":
            raise ValueError(f"{text}; repair them or leave them out by dataset.unreadable='skip'")
        print_log(f"{text}; they are left out", logger="current", level=logging.WARNING)
        return broken


def check_policy(unreadable: str) -> None:
    """Refuses an unknown value of ``dataset.unreadable``.

    Raises:
        ValueError: it is none of those there are.
    """
    if unreadable not in UNREADABLE_POLICIES:
        raise ValueError(
            f"dataset.unreadable must be 'fail', 'skip' or 'trust', got {unreadable!r}"
        )


def summarize(findings: Iterable[Finding]) -> tuple[NDArray[np.int64], list[Finding]]:
    """Positions of all findings, int64 of shape (n,), and the first findings in full."""
    positions, shown = array("q"), list[Finding]()
    for position, reason in findings:
        positions.append(position)
        if len(shown) < _NAMES_SHOWN:
            shown.append((position, reason))
    return np.array(positions, np.int64), shown


def _join(root: Path, name: str) -> str:
    # One C-level call a name: pathlib takes several microseconds, a minute for 10 million names.
    return os.path.join(root, name)  # noqa: PTH118


def enumerate_names(names: Sequence[str], count: int) -> str:
    """Joins the first names of a list of ``count`` for a message."""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if count <= _NAMES_SHOWN else f"{shown}, ..."
