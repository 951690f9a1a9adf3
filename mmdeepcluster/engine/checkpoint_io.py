"""Checkpoint files: plain tensors, numbers and strings, complete or not there at all.

MMEngine 0.10.7 writes checkpoints in place, so a kill while saving loses the file, and stores
its ``HistoryBuffer`` objects in them, which ``torch.load(weights_only=True)`` refuses (the default
from torch 2.6 on): its own checkpoints cannot be resumed. Here files are written beside the
target and renamed, and hold nothing that would need code to be executed on loading.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmdeepcluster.engine.errors import ConfigError

LAST_CHECKPOINT = "last_checkpoint"
# Entries of each logged scalar that a checkpoint carries and the message hub keeps.
HISTORY_LENGTH = 4096


def write_atomically(path: Path, data: dict[str, Any] | str) -> None:
    """Writes a checkpoint or a text so that ``path`` is the old or the new file at any instant.

    Raises:
        OSError: If the file cannot be written; the old one is then intact.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(data, str):
                file.write(data.encode())
            else:
                torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU without executing anything in it.

    Raises:
        ConfigError: If the file is missing, truncated, or holds more than plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"checkpoint {path} cannot be read: it is damaged or holds objects other than "
            f"tensors, numbers and strings ({reason})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ConfigError(f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dict")
    return checkpoint


def find_last_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint that the pointer in ``work_dir`` names, or None."""
    pointer = Path(work_dir) / LAST_CHECKPOINT
    if not pointer.is_file():
        return None
    named = Path(pointer.read_text(encoding="utf-8").strip())
    # The folder may have been moved since: the file beside the pointer is meant.
    beside = pointer.with_name(named.name)
    return beside if beside.is_file() else named


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
