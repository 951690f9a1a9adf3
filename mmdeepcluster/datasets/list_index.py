"""The index of a list file: an array on disk that all processes map, built once.

An index is one file of int64, little-endian: a header (see :class:`ListKey`) and a row for each
name. It lies beside the list file under a hidden name, or, where that folder takes no file, in the
user's cache folder (``$XDG_CACHE_HOME/mmdeepcluster`` or ``~/.cache/mmdeepcluster``), else in a
private folder for temporary files. It can be deleted at any time; mapped pages stay.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.list_lines import LabelError, scan_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = int.from_bytes(b"mmdclist", "little")
_FORMAT = 1
_HEADER = 6
_INT = np.dtype("<i8")
# Clocks of file systems tick every 2 seconds at worst: a list that is changed twice within a tick
# shows the same time, so an index that is not younger than that proves nothing.
TICK = 2_000_000_000


@dataclass(frozen=True)
class ListKey:
    """What an index is valid for.

    Attributes:
        size: size of the list file in bytes.
        modified: time of its last change in nanoseconds.
        columns: 1 for offsets alone, 2 for offsets and labels.
    """

    size: int
    modified: int
    columns: int

    @classmethod
    def of(cls, file: BinaryIO, labels: bool) -> ListKey:
        """Key of an open list file."""
        status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns, 2 if labels else 1)

    def header(self, count: int) -> NDArray[np.int64]:
        """First numbers of the index of ``count`` names, shape (6,)."""
        numbers = (_MAGIC, _FORMAT, self.size, self.modified, self.columns, count)
        return np.array(numbers, _INT)


def open_index(path: Path, file: BinaryIO, labels: bool) -> tuple[Path, NDArray[np.int64]]:
    """Maps the index of a list file; builds it first if there is none or the list has changed.

    Any number of processes may call this at once: each publishes a whole index or none.

    Args:
        path: the list file.
        file: the same, open at its start.
        labels: every line ends in a label.

    Returns:
        Place of the index, and its rows (N, 1) or with labels (N, 2): offset of each name in
        bytes, label. A change of the array changes no file.

    Raises:
        OSError: the list changes while it is read, or no folder takes the index.
        ValueError: the list names no image, is no list, or has a line without label.
    """
    key = ListKey.of(file, labels)
    places = list(places_of(path, "labels-index" if labels else "index"))
    for place in places:
        rows = map_index(place, key)
        if rows is not None and place.stat().st_mtime_ns - key.modified > TICK:
            return place, rows
    return _build(path, file, key, places)


def map_index(place: Path, key: ListKey) -> NDArray[np.int64] | None:
    """Maps an index file, or returns None where there is none that is valid for ``key``."""
    try:
        # Copy on write: torch takes writable arrays alone, and nothing ever writes.
        mapped = np.asarray(np.memmap(place, _INT, "c"))
    except (OSError, ValueError):  # absent, of another user, empty, or cut inside a number
        return None
    count, rest = divmod(len(mapped) - _HEADER, key.columns)
    if rest or not np.array_equal(mapped[:_HEADER], key.header(count)):
        return None
    return mapped[_HEADER:].reshape(count, key.columns)


def places_of(path: Path, suffix: str) -> Iterator[Path]:
    """Files that may hold what is known of a list file, in the order of trial.

    Args:
        path: the list file.
        suffix: what is known of it.
    """
    yield path.parent / f".{path.name}.mmdeepcluster-{suffix}"
    name = f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.{suffix}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    if cache.is_absolute():  # "~" is left as it is for a user without home
        yield cache / "mmdeepcluster" / name
    private = Path(tempfile.gettempdir()) / f"mmdeepcluster-{os.getuid()}"
    if not private.exists() or private.stat().st_uid == os.getuid():
        yield private / name


def _build(
    path: Path, file: BinaryIO, key: ListKey, places: list[Path]
) -> tuple[Path, NDArray[np.int64]]:
    """Scans a list file into the first place that takes a file."""
    started = time.monotonic()
    place, temporary, index = create_temporary(path, places)
    try:
        with index:
            count = _write(path, file, key, index)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
    print_log(
        f"indexed {count:,} lines of {str(path)!r} in {time.monotonic() - started:.1f} s: "
        f"{str(place)!r}",
        logger="current",
    )
    rows = map_index(place, key)
    if rows is None:  # another process has published the index of a newer list
        raise _changed(path)
    return place, rows


def create_temporary(path: Path, places: Sequence[Path]) -> tuple[Path, Path, BinaryIO]:
    """Opens a temporary file beside the first possible place: (place, temporary, file).

    Args:
        path: the list file.
        places: as :func:`places_of` gives them.

    Raises:
        OSError: No folder takes a file.
    """
    refused = []
    for place in places:
        temporary = place.with_name(f".{uuid.uuid4().hex}.mmdeepcluster-tmp")
        try:
            if place.parent != path.parent:
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return place, temporary, temporary.open("xb")
        except OSError as error:
            refused.append(str(error))
    raise OSError(
        f"no folder takes the index of the list file {str(path)!r} ({'; '.join(refused)}): make "
        f"its folder writable, or set XDG_CACHE_HOME to a folder that is"
    )


def _write(path: Path, file: BinaryIO, key: ListKey, index: BinaryIO) -> int:
    """Writes the index and returns the number of names."""
    labels, count = key.columns == 2, 0
    index.write(bytes(_HEADER * _INT.itemsize))
    try:
        for rows in scan_lines(file, labels):
            index.write(rows.astype(_INT, copy=False).tobytes())
            count += len(rows)
    except LabelError as error:
        raise ValueError(
            f"{str(path)!r}, line {error.number}: {error.line!r} does not end in a label (a space "
            f"and an integer from 0 on) though dataset.labels=True: correct it or set it to False"
        ) from error
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}: check dataset.list_file") from error
    if not count:
        raise ValueError(f"the list file {str(path)!r} names no image: check dataset.list_file")
    if ListKey.of(file, labels) != key:
        raise _changed(path)
    index.seek(0)
    index.write(key.header(count).tobytes())
    index.flush()
    os.fsync(index.fileno())
    return count


def _changed(path: Path) -> OSError:
    return OSError(f"the list file {str(path)!r} changes while it is read: start again when done")
