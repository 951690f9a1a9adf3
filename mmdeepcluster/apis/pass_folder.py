"""The folder that a pass over images fills: complete, or to be continued by the same command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.apis.row_files import PARTIAL, DoneTiles, RowFile, num_tiles
from mmdeepcluster.clustering.row_share import ROW_TILE
from mmdeepcluster.engine import ConfigError, rename_durably, write_atomically
from mmdeepcluster.version import __version__

# One row for each image: what the rule of the clusters says of it.
ASSIGNMENT = np.dtype([("cluster", "<i8"), ("distance", "<f4"), ("margin", "<f4")])


@dataclass(frozen=True)
class RowSpec:
    """One matrix of a pass.

    Attributes:
        layer: Layer that it holds; None for the assignment to clusters.
        width: Shape of a row: (D,), or () for the assignment.
        dtype: Kind of its numbers.
        keep: Whether it stays when the pass is complete.
    """

    layer: str | None
    width: tuple[int, ...]
    dtype: str | np.dtype[Any]
    keep: bool = True


class PassFolder:
    """Files of one pass over N images, under the names they get when all of it is there.

    Until then they are called ``NAME.partial``, and ``<stem>.done`` says which rows are on the
    disk. ``<stem>.json`` says what the files are of; another pass is refused.

    Args:
        folder: The folder; it may not exist yet.
        stem: Name of the kind of pass.
        identity: What the rows depend on, in plain values.
        files: The matrices by file name.
        num_rows: N.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        identity: Mapping[str, Any],
        files: Mapping[str, RowSpec],
        num_rows: int,
    ) -> None:
        self.folder = folder
        # As JSON gives it back.
        self.identity: dict[str, Any] = json.loads(json.dumps(identity, default=str))
        self.files = dict(files)
        self.num_rows = num_rows
        self.card = folder / f"{stem}.json"
        self.done = folder / f"{stem}.done"
        self._held: DoneTiles | None = None

    def begin(self, overwrite: bool) -> list[int] | None:
        """Makes the files, or finds those of an interrupted pass; on the main process.

        Args:
            overwrite: Whether what is there may be replaced.

        Returns:
            Tiles of 1,024 rows that are to be written, None if the pass is complete.

        Raises:
            ConfigError: If the folder holds something else, is in use, or the disk is too small.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        card = self._read_card()
        if card is None or overwrite or self._lost():
            self._check_free(card, overwrite)
            self._create([] if card is None else card["files"])
        else:
            self._check_same(card)
            if card["complete"]:
                self._clean()
                return None
        self._held = DoneTiles(self.done)
        if not self._held.lock():
            raise ConfigError(f"{self.folder} is being written by another process")
        remaining = DoneTiles.remaining(self.done)
        if len(remaining) < num_tiles(self.num_rows):
            print_log(
                f"{self.folder}: continues, {self._rows_done(remaining):,} of {self.num_rows:,} "
                "rows are done",
                "current",
            )
        return remaining

    def partial(self, name: str) -> Path:
        """Where the rows of a file are while the pass goes on, or at the end of a broken finish."""
        growing = self.folder / f"{name}{PARTIAL}"
        return growing if growing.exists() else self.folder / name

    def open_files(self) -> dict[str, RowFile]:
        """The files to write into, by name."""
        return {name: RowFile(self.partial(name)) for name in self.files}

    def finish(self, write: Callable[[], Mapping[str, Any]]) -> None:
        """Gives the files their names once everything else is written; on the main process.

        Args:
            write: Writes what is made of the rows; returns what else the card shall say.
        """
        details = write()
        for name, spec in self.files.items():
            growing = self.folder / f"{name}{PARTIAL}"
            if spec.keep and growing.exists():
                rename_durably(growing, self.folder / name)
        self._write_card(True, details)
        self.close()
        self._clean()

    def close(self) -> None:
        """Lets others write here."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _clean(self) -> None:
        for name, spec in self.files.items():
            if not spec.keep:
                (self.folder / f"{name}{PARTIAL}").unlink(missing_ok=True)
        self.done.unlink(missing_ok=True)

    def _rows_done(self, remaining: list[int]) -> int:
        last = num_tiles(self.num_rows) - 1
        missing = len(remaining) * ROW_TILE
        if remaining and remaining[-1] == last:
            missing -= (last + 1) * ROW_TILE - self.num_rows
        return self.num_rows - missing

    def _read_card(self) -> dict[str, Any] | None:
        if not self.card.is_file():
            return None
        try:
            card: dict[str, Any] = json.loads(self.card.read_text(encoding="utf-8"))
            return {
                "complete": bool(card["complete"]),
                "identity": dict(card["identity"]),
                "files": [Path(name).name for name in card["files"]],
            }
        except (ValueError, KeyError, TypeError):
            return {"complete": False, "identity": {"card": "damaged"}, "files": []}

    def _lost(self) -> bool:
        """Whether a start was killed before its files were there."""
        card = self._read_card()
        if card is None or card["complete"] or card["identity"] != self.identity:
            return False
        return not self.done.is_file()

    def _check_same(self, card: Mapping[str, Any]) -> None:
        before, now = card["identity"], self.identity
        differing = [
            f"{key}: {_short(before.get(key))} there, {_short(now.get(key))} now"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        if differing:
            raise ConfigError(
                f"{self.folder} holds the result of another pass ({'; '.join(differing)}): give "
                "another --out, or --overwrite to replace it"
            )
        gone = [name for name, spec in self.files.items() if spec.keep]
        gone = [name for name in gone if not self.partial(name).exists()]
        if gone:
            raise ConfigError(
                f"{self.folder}: {', '.join(gone)} of {self.card.name} is gone: --overwrite makes "
                "it anew"
            )

    def _check_free(self, card: Mapping[str, Any] | None, overwrite: bool) -> None:
        """Refuses files of unknown origin, and a disk that is too small."""
        there = [name for name in self.files if (self.folder / name).exists()]
        if there and card is None and not overwrite:
            raise ConfigError(
                f"{self.folder} holds {', '.join(there)} already, from elsewhere: give another "
                "--out, or --overwrite to replace them"
            )
        needed = sum(
            np.dtype(spec.dtype).itemsize * int(np.prod(spec.width, dtype=np.int64))
            for spec in self.files.values()
        )
        there_bytes = sum(
            path.stat().st_size
            for name in self.files
            for path in (self.folder / name, self.folder / f"{name}{PARTIAL}")
            if path.exists()
        )
        free = shutil.disk_usage(self.folder).free + there_bytes
        if needed * self.num_rows > free:
            raise ConfigError(
                f"--out {self.folder}: {needed * self.num_rows / 1e9:,.1f} GB are needed, "
                f"{free / 1e9:,.1f} GB are free: give another folder, fewer layers, or "
                "--dtype float16"
            )

    def _create(self, replaced: list[str]) -> None:
        for name in replaced:
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / f"{name}{PARTIAL}").unlink(missing_ok=True)
        self._write_card(False, {})
        self.done.unlink(missing_ok=True)
        for name, spec in self.files.items():
            (self.folder / name).unlink(missing_ok=True)
            path = self.folder / f"{name}{PARTIAL}"
            path.unlink(missing_ok=True)
            RowFile.create(path, (self.num_rows, *spec.width), spec.dtype)
        DoneTiles.create(self.done, self.num_rows)

    def _write_card(self, complete: bool, details: Mapping[str, Any]) -> None:
        files = {
            name: {
                "layer": spec.layer,
                "shape": [self.num_rows, *spec.width],
                "dtype": np.dtype(spec.dtype).name,
            }
            for name, spec in self.files.items()
            if spec.keep
        }
        card = {
            "complete": complete,
            "identity": self.identity,
            "files": files,
            "mmdeepcluster": __version__,
            **details,
        }
        write_atomically(self.card, json.dumps(card, indent=2) + "\n")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:60]}...{text[-56:]}"
