"""The names in a list file, read where they stand when they are asked for."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mmdeepcluster.datasets.list_index import ListKey, map_index, open_index
from mmdeepcluster.datasets.list_lines import decode_line, split_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 4096


class ListedNames(Sequence[str]):
    """An immutable list of the names in a list file, none of which is held in memory.

    The names stay in the file, which is kept open and read through the page cache of the system;
    where each starts stands in an index that all processes map (see
    :mod:`~mmdeepcluster.datasets.list_index`). Pickling carries the paths of both alone. The list
    is read, not mapped, since a mapped file that is cut short ends the process without a message.

    Args:
        path: the list file.
        folder: an absolute name below this folder is shortened to a relative one.
        labels: every line ends in a label.

    Attributes:
        labels: the label of each name, int64 of shape (N,), mapped; or None.

    Raises:
        OSError: the list changes while it is indexed, or no folder takes the index. Reading a
            name raises it when the list has changed since.
        ValueError: the list names no image, is no list, or has a line without label.
    """

    def __init__(self, path: Path, folder: Path, labels: bool) -> None:
        self._path = path
        self._prefix = os.path.join(folder, "")  # noqa: PTH118 (pathlib drops the separator)
        self._open()
        self._key = ListKey.of(self._file, labels)
        self._place, self._rows = open_index(path, self._file, labels)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        positions = range(len(self))[index]  # raises IndexError
        if isinstance(positions, int):
            return self._read(positions, positions + 1)[0]
        if positions.step != 1:
            return [self[position] for position in positions]
        return self._read(positions.start, positions.stop)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_file", "_rows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()
        rows = map_index(self._place, self._key)
        if rows is None or ListKey.of(self._file, self._key.columns == 2) != self._key:
            raise self._changed()
        self._rows = rows

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """See the class."""
        return self._rows[:, 1] if self._key.columns == 2 else None

    def _open(self) -> None:
        self._file = self._path.open("rb")
        weakref.finalize(self, self._file.close)

    def _read(self, first: int, last: int) -> list[str]:
        """Reads names ``first`` to ``last - 1`` at once."""
        if first >= last:
            return []
        offsets: list[int] = self._rows[first : last + 1, 0].tolist()
        if last == len(self):
            offsets.append(self._key.size)
        begin = offsets[0]
        # Threads and forked workers share the file, not a position in it.
        data = os.pread(self._file.fileno(), offsets[-1] - begin, begin)
        if ListKey.of(self._file, self._key.columns == 2) != self._key:
            raise self._changed()
        return [self._name(data[a - begin : b - begin]) for a, b in pairwise(offsets)]

    def _name(self, text: bytes) -> str:
        """Name at the start of the text up to the next name."""
        line = decode_line(text.split(b"\n", 1)[0].split(b"\r", 1)[0])
        if self._key.columns == 2:
            parts = split_label(line)
            assert parts is not None, "all lines were checked when the list was indexed"
            line = parts[0]
        # The fingerprint must not hold the root.
        return line.removeprefix(self._prefix)

    def _changed(self) -> OSError:
        return OSError(
            f"the list file {str(self._path)!r} or its index has changed since it was opened: "
            f"start again"
        )
