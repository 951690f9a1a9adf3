"""Smaller copies of image files, made once, so that every later epoch decodes less.

A copy is kept in one of many block files, whose name is a digest of the settings and of name, size
and time of change of the 512 image files in it. So a block is right if it is there: a file that
changed asks for another block, an interrupted build goes on with the blocks that are missing, and
several processes, runs and data sets may share a folder, which nobody needs to write to later.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from PIL import Image

from mmdeepcluster.datasets.cache_block import (
    is_complete,
    read_image,
    remove_abandoned,
    write_block,
)
from mmdeepcluster.datasets.cache_source import CacheSource, Outcome, values
from mmdeepcluster.datasets.file_check import deal
from mmdeepcluster.datasets.jpeg_file import open_jpeg
from mmdeepcluster.datasets.pil_loading import load_rgb

_BLOCK = 512
# Another one when other copies are made of the same files.
_FORMAT = 1
# Blocks of one rank between two meetings of the ranks: about a minute of one core.
_BLOCKS_A_ROUND = 16
# What the estimate may be wrong by.
_MARGIN = 1.2


class ResizedCache:
    """Copies of image files with a given shorter side, as JPEG.

    It changes results: crops come from fewer pixels, and what was compressed is compressed again.
    Images that are not larger, upright JPEG files in grey or RGB, are kept as they are.

    Args:
        dir: folder of the cache; may be shared with other data sets and settings. Blocks that are
            no longer used, after files changed, stay there until it is deleted.
        shorter_side: pixels; no image is enlarged. Defaults to 256.
        quality: of JPEG, 1 to 95. Defaults to 90.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(self, dir: str | Path, shorter_side: int = 256, quality: int = 90) -> None:
        if not isinstance(shorter_side, int) or shorter_side < 1:
            raise ValueError(
                f"dataset.cache.shorter_side must be a positive integer, got {shorter_side!r}"
            )
        if not isinstance(quality, int) or not 1 <= quality <= 95:
            raise ValueError(f"dataset.cache.quality must be from 1 to 95, got {quality!r}")
        self.folder = Path(dir).expanduser()
        self.shorter_side, self.quality = shorter_side, quality
        self._blocks: list[str] = []

    def prepare(
        self,
        names: Sequence[str],
        path_of: Callable[[str], str],
        left_out: Collection[int] = (),
        num_threads: int | None = None,
    ) -> None:
        """Makes the copies that are missing; collective, and files are asked for their times.

        Args:
            names: of the image files.
            path_of: place of the file with a name.
            left_out: positions of files that cannot be read.
            num_threads: threads of each rank. Defaults to None, the usable CPU cores.

        Raises:
            OSError: a file cannot be read; or the cache cannot be written, for instance because
                there is less room than the copies need, which is found out before.
        """
        settings = f"{_FORMAT} {self.shorter_side} {self.quality}"
        work = CacheSource(names, path_of, frozenset(left_out), _BLOCK, settings, self.copy_of)
        count = -(-len(names) // _BLOCK)
        self._blocks = values(deal(count, work.digest, num_threads, _BLOCKS_A_ROUND))
        (missing,) = deal(1, lambda _: self._missing(len(names)), 1, 1)
        if missing:
            self._build(work, missing, num_threads)
        # On a disk that is not shared, the blocks of the other ranks are somewhere else.
        for block in self._missing(len(names)):
            self.folder.mkdir(parents=True, exist_ok=True)
            values([self._write(work, block)])

    def _build(self, work: CacheSource, missing: list[int], num_threads: int | None) -> None:
        begin = time.monotonic()
        values(deal(1, lambda _: ("", self._problem(work, missing)), 1, 1))

        def told(done: int) -> str:
            return f"cache {str(self.folder)!r}: {done:,} of {len(missing):,} blocks written"

        def write(number: int) -> Outcome:
            return self._write(work, missing[number])

        sizes = values(deal(len(missing), write, num_threads, _BLOCKS_A_ROUND, told))
        size = sum(map(int, sizes)) / 1e6
        print_log(
            f"cache {str(self.folder)!r}: {len(missing):,} blocks of up to {_BLOCK} images "
            f"(shorter side {self.shorter_side}, quality {self.quality}) of {size:,.1f} MB written "
            f"in {time.monotonic() - begin:.0f} s",
            logger="current",
        )

    def _write(self, work: CacheSource, block: int) -> Outcome:
        """Writes a block; the number of bytes of its images."""
        try:
            images = work.copies(block)
            write_block(self.path(block), images)
        except OSError as error:
            return "", str(error)
        return str(sum(map(len, images))), None

    def read(self, position: int) -> bytes:
        """The copy of file ``position``, encoded.

        Raises:
            OSError: it is gone or damaged.
        """
        return read_image(self.path(position // _BLOCK), position % _BLOCK)

    def copy_of(self, data: bytes) -> bytes:
        """Makes the copy of an image file.

        Raises:
            Exception: of many kinds, by Pillow: the file is damaged.
        """
        file = open_jpeg(data, lambda: load_rgb(BytesIO(data)))
        if file is not None and file.is_upright and min(file.size) <= self.shorter_side:
            return data
        image = load_rgb(BytesIO(data))
        short = min(image.size)
        if short > self.shorter_side:
            width, height = (round(side * self.shorter_side / short) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        output = BytesIO()
        image.save(output, "JPEG", quality=self.quality)
        return output.getvalue()

    def path(self, block: int) -> Path:
        """File of a block."""
        return self.folder / f"{self._blocks[block]}.images"

    def _missing(self, count: int) -> list[int]:
        """Blocks of ``count`` images that are not there."""
        return [
            block
            for block in range(len(self._blocks))
            if not is_complete(self.path(block), min(_BLOCK, count - block * _BLOCK))
        ]

    def _problem(self, work: CacheSource, missing: list[int]) -> str | None:
        """Says before anything is written what is wrong, if the copies cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return f"dataset.cache.dir: {len(missing)} blocks are missing and {error}"
        if not os.access(self.folder, os.W_OK):
            return (
                f"dataset.cache.dir: {str(self.folder)!r} lacks {len(missing)} of "
                f"{len(self._blocks)} blocks, and this user may not write there"
            )
        try:
            needed = _MARGIN * work.estimated_size(missing)
        except OSError as error:
            return str(error)
        if needed > free:
            return (
                f"dataset.cache.dir: the copies will take about {needed / 1e6:,.1f} MB, "
                f"{str(self.folder)!r} has {free / 1e6:,.1f} MB left: choose another folder, or "
                f"lower dataset.cache.shorter_side={self.shorter_side} or "
                f"dataset.cache.quality={self.quality}"
            )
        return None


def open_cache(options: Mapping[str, Any]) -> ResizedCache:
    """A cache of what ``dataset.cache`` says.

    Raises:
        TypeError: it has an unknown key, or no folder.
    """
    known = ("dir", "shorter_side", "quality")
    unknown = [key for key in options if key not in known]
    if unknown or "dir" not in options:
        wrong = f"has no option {unknown[0]!r}" if unknown else "needs 'dir'"
        raise TypeError(f"dataset.cache {wrong}: give dir, shorter_side and quality")
    return ResizedCache(**options)
