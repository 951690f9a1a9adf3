"""What a training left in its work dir, read back; what is not there is named, not an error."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from mmdeepcluster.apis.run_history import log_folders, read_scalars
from mmdeepcluster.engine import ConfigError, find_last_checkpoint, load_config, read_checkpoint
from mmdeepcluster.visualization.curve_panels import Curve

# More clusterings than this are not told apart by eye, and each costs bytes per image.
MAX_EPOCHS, MAX_LABELS = 12, 6_000_000
_LABELS = re.compile(r"labels_epoch_(\d+)\.npy$")


@dataclass(frozen=True)
class SampleRows:
    """One row per image, in dataset order.

    Attributes:
        names: Path or name of each image.
        labels: Known class of each image, or None.
        clusters: Its cluster, int64 (N,).
        distances: Its distance to the centroid, fp32 (N,), or None where it was not measured.
        bank_labels: Its label at the end of the training, int64 (N,), or None.
    """

    names: list[str]
    labels: list[str] | None
    clusters: NDArray[np.int64]
    distances: NDArray[np.float32] | None = None
    bank_labels: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class RunFiles:
    """A work dir.

    Attributes:
        folder: The work dir.
        name: Name of the config.
        starts: Folders of the starts, the earliest first.
        scalars: Curves by name, see :func:`~mmdeepcluster.apis.run_history.read_scalars`.
        cfg: The config, or None.
        checkpoint: The newest checkpoint, or None.
        figures: Content of ``report.json``, or None.
        samples: Content of ``samples.csv``, or None.
        epochs: Labels int64 (N,) by epoch, ascending; see ``_epochs``, all of one length.
        num_label_files: Files ``labels_epoch_*.npy`` that there are.
        missing: What is not there or cannot be used, in sentences, by part of the report.
    """

    folder: Path
    name: str
    starts: list[Path]
    scalars: dict[str, Curve]
    cfg: Config | None
    checkpoint: Path | None
    figures: dict[str, Any] | None
    samples: SampleRows | None
    epochs: dict[int, NDArray[np.int64]]
    num_label_files: int
    missing: dict[str, str] = field(default_factory=dict)


def read_run(work_dir: str | Path) -> RunFiles:
    """Reads a work dir.

    Raises:
        ConfigError: If no training wrote into it, or a file there is damaged.
    """
    folder = Path(work_dir)
    starts = log_folders(folder)
    missing: dict[str, str] = {}
    cfg, name = _config(folder, starts, missing)
    samples = _samples(folder / "samples.csv")
    if samples is None:
        missing["samples"] = "there is no samples.csv: the training has not ended"
    epochs, number = _epochs(folder, missing)
    return RunFiles(
        folder=folder,
        name=name,
        starts=starts,
        scalars=read_scalars(folder),
        cfg=cfg,
        checkpoint=_checkpoint(folder, missing),
        figures=_figures(folder / "report.json", missing),
        samples=samples,
        epochs=epochs,
        num_label_files=number,
        missing=missing,
    )


def labels_of_checkpoint(checkpoint: Path) -> NDArray[np.int64] | None:
    """Labels int64 (N,) that a checkpoint holds, None before the first clustering.

    Raises:
        ConfigError: If it cannot be read.
    """
    state = read_checkpoint(checkpoint).get("cluster_state") or {}
    labels = state.get("labels")
    if labels is None or not len(labels) or int(labels.min()) < 0:
        return None
    found: NDArray[np.int64] = labels.long().numpy()
    return found


def _config(folder: Path, starts: list[Path], missing: dict[str, str]) -> tuple[Config | None, str]:
    """The config of the newest start, and the name that it was started by."""
    dumped = sorted(folder.glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
    name = dumped[-1].stem if dumped else folder.resolve().name
    used = [path for path in (starts[-1] / "vis_data" / "config.py", *dumped[-1:]) if path.exists()]
    if not used:
        missing["config"] = "no config lies in the work dir, so no network and no images are known"
        return None, name
    try:
        return load_config(used[0]), name
    except ConfigError as error:
        missing["config"] = str(error)
        return None, name


def _checkpoint(folder: Path, missing: dict[str, str]) -> Path | None:
    try:
        found = find_last_checkpoint(folder)
    except ConfigError as error:
        missing["checkpoint"] = str(error)
        return None
    if found is None:
        missing["checkpoint"] = "there is no checkpoint"
    return found


def _figures(path: Path, missing: dict[str, str]) -> dict[str, Any] | None:
    if not path.is_file():
        missing["figures"] = "there is no report.json: the training has not ended"
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return found


def _samples(path: Path) -> SampleRows | None:
    if not path.is_file():
        return None
    names, labels, numbers, distances, banks = [], [], [], [], []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                names.append(row["path"])
                labels.append(row["label"])
                numbers.append(int(row["cluster"]))
                distances.append(float(row["distance"]))
                banks.append(int(row["bank_label"]))
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {reader.line_num}: not the samples.csv of a training "
                f"({type(error).__name__}: {error})"
            ) from error
    if not names:
        raise ConfigError(f"{path} has no row")
    return SampleRows(
        names,
        labels if any(labels) else None,
        np.array(numbers, np.int64),
        np.array(distances, np.float32),
        np.array(banks, np.int64),
    )


def _epochs(folder: Path, missing: dict[str, str]) -> tuple[dict[int, NDArray[np.int64]], int]:
    """Labels by epoch of some files, the first and the last among them; the number of files.

    At most ``MAX_EPOCHS`` files and, from the third on, ``MAX_LABELS`` labels.
    """
    files = {}
    for path in folder.glob("labels_epoch_*.npy"):
        match = _LABELS.search(path.name)
        if match:
            files[int(match[1])] = path
    found: dict[int, NDArray[np.int64]] = {}
    order = sorted(files)
    for epoch in reversed(order):  # the newest that can be read says how many images there are
        labels = _labels(files[epoch], missing)
        if labels is not None:
            found[epoch] = labels
            break
    if not found:
        return {}, len(order)
    length = len(next(iter(found.values())))
    number = max(2, min(MAX_EPOCHS, MAX_LABELS // length))
    places = np.linspace(0, len(order) - 1, min(number, len(order))).round().astype(int)
    for epoch in [order[place] for place in places]:
        labels = found[epoch] if epoch in found else _labels(files[epoch], missing)
        if labels is not None and len(labels) == length:
            found[epoch] = labels
        elif labels is not None:
            missing["epochs"] = "some labels_epoch_*.npy are of another number of images; left out"
    return dict(sorted(found.items())), len(order)


def _labels(path: Path, missing: dict[str, str]) -> NDArray[np.int64] | None:
    """Labels of one file; None where it cannot be read, or holds no clusters yet."""
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        missing["epochs"] = f"{path.name} cannot be read ({error})"
        return None
    if labels.ndim != 1 or not len(labels) or labels.min() < 0:
        return None
    found: NDArray[np.int64] = labels.astype(np.int64)
    return found
