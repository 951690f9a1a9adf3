"""The image files that a cache of smaller copies is made from, in blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

# Images that are copied to learn how large a cache will be.
_TRIED = 32

# What a task found, and what is wrong if it failed: texts, which ranks can tell each other.
Outcome = tuple[str, str | None]


class CacheSource:
    """Image files and how they are copied.

    Args:
        names: of the files.
        path_of: place of the file with a name.
        left_out: positions of files that cannot be read.
        per_block: files of a block.
        settings: text that changes when the copies change.
        copy: makes the copy of a file, both encoded.
    """

    def __init__(
        self,
        names: Sequence[str],
        path_of: Callable[[str], str],
        left_out: Collection[int],
        per_block: int,
        settings: str,
        copy: Callable[[bytes], bytes],
    ) -> None:
        self._names, self._path_of = names, path_of
        self._left_out = left_out
        self._per_block, self._settings = per_block, settings
        self._copy = copy

    def digest(self, block: int) -> Outcome:
        """Finds a digest of what the copies of a block follow from."""
        identity = hashlib.sha256(self._settings.encode())
        try:
            for position in self._positions(block):
                name = self._names[position]
                size = time_ns = -1
                if position not in self._left_out:
                    found = os.stat(self._path_of(name))  # noqa: PTH116
                    size, time_ns = found.st_size, found.st_mtime_ns
                identity.update(f"{name}\0{size}\0{time_ns}\n".encode())
        except OSError as error:
            return "", str(error)
        return identity.hexdigest()[:40], None

    def copies(self, block: int) -> list[bytes]:
        """Makes the copies of a block; no bytes for files that are left out.

        Raises:
            OSError: a file cannot be read; the message names it.
        """
        return [self._copy_at(position) for position in self._positions(block)]

    def estimated_size(self, blocks: Sequence[int]) -> float:
        """Bytes that the copies of blocks will have, from some of them.

        Raises:
            OSError: one of these files cannot be read.
        """
        positions = np.concatenate([self._positions(block) for block in blocks])
        tried = np.linspace(0, len(positions) - 1, min(_TRIED, len(positions)), dtype=int)
        sizes = [len(self._copy_at(position)) for position in positions[tried].tolist()]
        return float(np.mean(sizes)) * len(positions)

    def _positions(self, block: int) -> range:
        start = block * self._per_block
        return range(start, min(start + self._per_block, len(self._names)))

    def _copy_at(self, position: int) -> bytes:
        if position in self._left_out:
            return b""
        path = self._path_of(self._names[position])
        try:
            return self._copy(Path(path).read_bytes())
        except Exception as error:
            raise OSError(
                f"{path!r} cannot be read ({type(error).__name__}: {error}): repair it, or leave "
                "such images out by dataset.unreadable='skip'"
            ) from error


def values(outcomes: Iterable[Outcome]) -> list[str]:
    """What tasks have found, on all ranks.

    Raises:
        OSError: one of them failed; the first.
    """
    values = []
    for value, problem in outcomes:
        if problem is not None:
            raise OSError(problem)
        values.append(value)
    return values
