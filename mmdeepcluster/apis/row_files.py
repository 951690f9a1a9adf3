"""Matrices in ``.npy`` files that several processes fill at once, and how far they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mmdeepcluster.clustering.row_share import ROW_TILE

PARTIAL = ".partial"


class RowFile:
    """A ``.npy`` file of full size whose rows are written in any order, by any process.

    Rows are written at their place in the file, not through a memory map: a full disk is then an
    error and not the death of the process, and processes of several machines that write to
    neighbouring rows over a network never send each other's bytes back.

    Args:
        path: The file, which :meth:`create` made.
    """

    def __init__(self, path: Path) -> None:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        self.path = path
        self.shape, self.dtype = rows.shape, rows.dtype
        self._offset = int(rows.offset)
        self._row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
        self._file = os.open(path, os.O_RDWR)

    @staticmethod
    def create(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Makes a file of full size, its rows 0."""
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()

    def write(self, first: int, rows: NDArray[Any]) -> None:
        """Writes rows (n, ...) to the places ``first``, ``first + 1``, ...

        Raises:
            ValueError: If they are of another width or would not fit.
            OSError: If the disk is full.
        """
        if rows.shape[1:] != self.shape[1:] or not 0 <= first <= self.shape[0] - len(rows):
            raise ValueError(f"rows {rows.shape} at {first} do not fit {self.path} {self.shape}")
        flat: Any = np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8)
        data = memoryview(flat)
        place = self._offset + first * self._row_bytes
        while len(data):
            written = os.pwrite(self._file, data, place)
            data, place = data[written:], place + written

    def flush(self) -> None:
        """Waits until everything written is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


class DoneTiles:
    """Which tiles of 1,024 rows are written: one byte each, in a file beside the rows.

    Args:
        path: The file, which :meth:`create` made.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)

    @staticmethod
    def create(path: Path, num_rows: int) -> None:
        """Makes the file, nothing done."""
        path.write_bytes(bytes(num_tiles(num_rows)))

    @staticmethod
    def remaining(path: Path) -> list[int]:
        """Tiles that are not done, in order."""
        done = np.frombuffer(path.read_bytes(), np.uint8)
        return np.flatnonzero(done == 0).tolist()

    def mark(self, tiles: list[int]) -> None:
        """Notes that tiles are on the disk."""
        for tile in tiles:
            os.pwrite(self._file, b"\x01", tile)
        os.fsync(self._file)

    def lock(self) -> bool:
        """Keeps others from writing the same files; False if another process has done so.

        Ends with this process, however it ends. File systems without locks let everyone in.
        """
        try:
            import fcntl
        except ImportError:  # not on every system
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Closes the file."""
        with suppress(OSError):
            os.close(self._file)


def num_tiles(num_rows: int) -> int:
    """Tiles of so many rows."""
    return -(-num_rows // ROW_TILE)


def runs(tiles: list[int], num_rows: int) -> Iterator[tuple[int, int]]:
    """Rows [start, stop) of each run of neighbouring tiles."""
    begin = 0
    for end in range(1, len(tiles) + 1):
        if end == len(tiles) or tiles[end] != tiles[end - 1] + 1:
            yield tiles[begin] * ROW_TILE, min((tiles[end - 1] + 1) * ROW_TILE, num_rows)
            begin = end


def dealt(tiles: list[int], rank: int, world_size: int) -> list[int]:
    """The tiles of a process: neighbours, and of all tiles those of its ``RowShare``."""
    return tiles[len(tiles) * rank // world_size : len(tiles) * (rank + 1) // world_size]
