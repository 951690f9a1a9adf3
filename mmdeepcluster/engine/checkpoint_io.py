"""Checkpoint files: plain tensors, numbers and strings, complete or not there at all.

MMEngine 0.10.7 writes checkpoints in place, so a kill while saving loses the file, and stores
its ``HistoryBuffer`` objects in them, which ``torch.load(weights_only=True)`` refuses (the default
from torch 2.6 on): its own checkpoints cannot be resumed. Here files are written beside the
target and renamed, and hold nothing that would need code to be executed on loading.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub, print_log

from mmdeepcluster.engine.errors import ConfigError

LAST_CHECKPOINT = "last_checkpoint"
# Where, in the state of hooks, a run keeps its name and the files that it saved.
SAVED_FILES = "checkpoints"
_PATTERNS = ("epoch_*.pth", "iter_*.pth")
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".", ".tmp"
# Entries of each logged scalar that a checkpoint carries and the message hub keeps.
HISTORY_LENGTH = 4096


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hands out a file beside ``path`` to be written, which replaces it at the end of the block.

    ``path`` is the old or the new file at any instant, and the old one if the block fails.

    Raises:
        OSError: If the file cannot be written.
    """
    temporary = path.with_name(f"{_TEMPORARY_PREFIX}{path.name}{_TEMPORARY_SUFFIX}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        rename_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: dict[str, Any] | str) -> None:
    """Writes a checkpoint or a text so that ``path`` is the old or the new file at any instant.

    Raises:
        OSError: If the file cannot be written; the old one is then intact.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        if isinstance(data, str):
            file.write(data.encode())
        else:
            _serialize(data, file)


def _serialize(data: dict[str, Any], file: IO[bytes]) -> None:
    """``torch.save``; where the disk is full it hides the reason behind an error of its own."""
    try:
        torch.save(data, file)
    except RuntimeError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, OSError):
            raise cause from None
        raise OSError(f"torch.save: {str(error).splitlines()[0]}") from error


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def rename_durably(source: Path, path: Path) -> None:
    """Renames a file, which a crash of the machine does not undo."""
    source.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def move_pointer(folder: Path, name: str) -> None:
    """Lets ``last_checkpoint`` name another file of the folder."""
    write_atomically(folder / LAST_CHECKPOINT, str(folder / name))


def prune(folder: Path, names: Iterable[str]) -> None:
    """Removes checkpoints that are no longer wanted."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what a process that was killed while saving has left."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*{_TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU without executing anything in it.

    Raises:
        ConfigError: If the file is missing, truncated, or holds more than plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"checkpoint {path} does not exist")
    # Mapped: of a large bank a process reads only the rows that it owns. Files in the format of
    # torch before 1.6, as weights may be, cannot be mapped.
    mapped = zipfile.is_zipfile(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"checkpoint {path} cannot be read: it is damaged or holds objects other than "
            f"tensors, numbers and strings ({reason})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dict")
    return checkpoint


def pointed_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint that the pointer in ``work_dir`` names, or None."""
    pointer = Path(work_dir) / LAST_CHECKPOINT
    if not pointer.is_file():
        return None
    named = Path(pointer.read_text(encoding="utf-8").strip())
    # The folder may have been moved since: the file beside the pointer is meant.
    beside = pointer.with_name(named.name)
    return beside if beside.is_file() else named


def find_last_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest complete checkpoint of the last run in ``work_dir``, or None if there is none.

    That is the one that the pointer names, unless a process was killed between writing a newer
    one and moving the pointer. Where the one named is damaged or gone, it is the newest file that
    can be read, which is said.

    Raises:
        ConfigError: If there are checkpoints but none can be read.
    """
    folder = Path(work_dir)
    pointed = pointed_checkpoint(folder)
    files = [path for pattern in _PATTERNS for path in folder.glob(pattern)]
    if pointed is None and not files:
        return None
    headers: dict[Path, tuple[str, int]] = {}
    problems: dict[Path, str] = {}
    for path in {*files, *([pointed] if pointed else [])}:
        try:
            headers[path] = _header(path)
        except ConfigError as error:
            problems[path] = str(error)
    if pointed in headers:
        run = headers[pointed][0]
        same = [path for path in headers if headers[path][0] == run]
        return max(same, key=lambda path: headers[path][1])
    if not headers:
        raise ConfigError(f"no checkpoint in {folder} can be read: {'; '.join(problems.values())}")
    found = max(headers, key=lambda path: (path.stat().st_mtime_ns, headers[path][1]))
    if pointed is not None:
        print_log(
            f"{problems[pointed]}; going back to {found}, the newest that can be read",
            "current",
            logging.WARNING,
        )
    return found


def _header(path: Path) -> tuple[str, int]:
    """The run that saved a checkpoint, and the iterations that it has behind it."""
    checkpoint = read_checkpoint(path)
    try:
        return str(checkpoint["hook_state"][SAVED_FILES]["run"]), int(checkpoint["meta"]["iter"])
    except (KeyError, TypeError):
        raise ConfigError(f"{path} is not a checkpoint of mmdeepcluster") from None


def hub_state(hub: MessageHub) -> dict[str, Any]:
    """Logged scalars of a message hub as plain tensors."""
    state: dict[str, Any] = {}
    for name, buffer in hub.log_scalars.items():
        values, counts = buffer.data
        state[name] = {
            "values": torch.from_numpy(np.asarray(values[-HISTORY_LENGTH:], dtype=np.float64)),
            "counts": torch.from_numpy(np.asarray(counts[-HISTORY_LENGTH:], dtype=np.int64)),
        }
    return state


def load_hub_state(hub: MessageHub, state: dict[str, Any]) -> None:
    """Takes over what :func:`hub_state` returned."""
    for name, entry in state.items():
        hub.log_scalars[name] = HistoryBuffer(
            entry["values"].tolist(), entry["counts"].tolist(), max_length=HISTORY_LENGTH
        )
