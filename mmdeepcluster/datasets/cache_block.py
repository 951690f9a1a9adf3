"""A file of many encoded images, which is there as a whole or not at all.

Layout, little endian: 8 bytes of :data:`_MAGIC`, the number n of images (int64), n + 1 offsets from
the start of the file (int64), then the images. An image of no bytes was left out.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_MAGIC = b"MMDCIMG1"
_HEAD = struct.Struct("<8sq")
_PAIR = struct.Struct("<qq")
# A writer that was killed leaves its temporary file behind; no writer takes this long.
_ABANDONED_SECONDS = 3600


def write_block(path: Path, images: Sequence[bytes]) -> None:
    """Writes a block; several processes may write the same one at a time.

    Raises:
        OSError: it cannot be written, for instance because the disk is full.
    """
    offsets = [_HEAD.size + 8 * (len(images) + 1)]
    for image in images:
        offsets.append(offsets[-1] + len(image))
    writer = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{writer}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_HEAD.pack(_MAGIC, len(images)))
            file.write(struct.pack(f"<{len(offsets)}q", *offsets))
            file.writelines(images)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_complete(path: Path, count: int) -> bool:
    """Whether a block of ``count`` images is there, with as many bytes as it says."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if head != _HEAD.pack(_MAGIC, count):
                return False
            file.seek(_HEAD.size + 8 * count)
            return file.read(8) == struct.pack("<q", os.fstat(file.fileno()).st_size)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_image(path: Path, number: int) -> bytes:
    """Bytes of image ``number`` of a block.

    Raises:
        OSError: the block is gone or damaged.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(_HEAD.size + 8 * number)
        pair = file.read(_PAIR.size)
        if len(pair) == _PAIR.size:
            begin, end = _PAIR.unpack(pair)
            file.seek(begin)
            image = file.read(end - begin)
            if len(image) == end - begin > 0:
                return image
    raise OSError(f"the cache file {str(path)!r} is damaged: delete it and start again")


def remove_abandoned(folder: Path) -> None:
    """Removes temporary files of writers that were killed."""
    for file in folder.glob(".*.tmp"):
        try:
            if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                file.unlink()
        except FileNotFoundError:
            pass  # another process was faster
