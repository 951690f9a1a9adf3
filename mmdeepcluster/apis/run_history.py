"""What a run wrote while it trained: the scalars of all its starts as one curve each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdeepcluster.engine import ConfigError
from mmdeepcluster.visualization.curve_panels import Curve, counts_epochs


def log_folders(work_dir: str | Path) -> list[Path]:
    """Folders ``work_dir/<timestamp>`` with scalars, one per start, the earliest first.

    Raises:
        ConfigError: If ``work_dir`` is no folder, or no training wrote into it.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise ConfigError(f"{work_dir} is no folder: give the work dir of a training")
    found = sorted(path.parent.parent for path in folder.glob("*/vis_data/scalars.json"))
    if not found:
        raise ConfigError(
            f"{work_dir} has no <timestamp>/vis_data/scalars.json: give the work dir of a training "
            "(vis_backends needs a LocalVisBackend)"
        )
    return found


def scalar_files(run: str | Path) -> list[Path]:
    """Files of scalars, one per start, the earliest first.

    Args:
        run: Work dir of a training, or one such file of any name.

    Raises:
        ConfigError: As :func:`log_folders`.
    """
    place = Path(run)
    if place.is_file():
        return [place]
    return [folder / "vis_data" / "scalars.json" for folder in log_folders(place)]


def read_scalars(work_dir: str | Path) -> dict[str, Curve]:
    """All scalars of a work dir, by name; those of later starts replace what they did again.

    MMEngine writes one ``vis_data/scalars.json`` per start. A run that was killed and resumed did
    the steps after its last checkpoint twice: what the later start wrote counts, from its first
    step on. A line that a kill cut off at the end of a file is left out.

    Args:
        work_dir: Work dir of a training, or the file of one start.

    Returns:
        Ascending steps and the values at them. Steps are epochs for names that start with
        ``epoch/``, ``cycle/`` or ``speed/``, otherwise iterations.

    Raises:
        ConfigError: If there are none, or a file holds something else.
    """
    merged: dict[str, dict[int, float]] = {}
    for file in scalar_files(work_dir):
        start = _read_file(file)
        first: dict[bool, int] = {}
        for name, points in start.items():
            kind = counts_epochs(name)
            lowest = min(points)
            first[kind] = min(first.get(kind, lowest), lowest)
        for name, points in merged.items():
            limit = first.get(counts_epochs(name))
            if limit is not None:
                merged[name] = {step: value for step, value in points.items() if step < limit}
        for name, points in start.items():
            merged.setdefault(name, {}).update(points)
    found: dict[str, Curve] = {}
    for name, points in merged.items():
        if points:
            steps = sorted(points)
            found[name] = (steps, [points[step] for step in steps])
    return found


def _read_file(path: Path) -> dict[str, dict[int, float]]:
    """Values by name and step of one file."""
    found: dict[str, dict[int, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: dict[str, Any] = json.loads(line)
            step = int(row.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):
                continue
            raise ConfigError(
                f"{path}, line {number}: no scalars of a training ({type(error).__name__}: {error})"
            ) from error
        for name, value in row.items():
            if isinstance(value, int | float):
                found.setdefault(name, {})[step] = float(value)
    return found
