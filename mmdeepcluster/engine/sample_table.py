"""One row per image, in dataset order: the table that users join with everything else."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine.checkpoint_io import replacing

# Rows that are turned into Python values at once.
_CHUNK = 8192
FIRST_COLUMNS = ("index", "path", "label")


def write_table(
    path: Path, dataset: BaseImageDataset, columns: Mapping[str, NDArray[Any] | None]
) -> None:
    """Writes a CSV file with one row per image; complete or not there at all.

    Args:
        path: The file.
        dataset: The images; they give the columns ``index``, ``path`` and ``label`` (name of the
            known class, or empty).
        columns: Further columns (N,), possibly memory maps; None leaves a column empty. Floats
            are written with six decimals.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow((*FIRST_COLUMNS, *columns))
        for start, stop, names, labels in sample_chunks(dataset, _CHUNK):
            texts = [_texts(column, start, stop) for column in columns.values()]
            writer.writerows(zip(range(start, stop), names, labels, *texts, strict=True))


def sample_chunks(
    dataset: BaseImageDataset, size: int
) -> Iterator[tuple[int, int, list[str], list[str]]]:
    """Start, stop, names and labels (empty where unknown) of so many images at a time."""
    labels, class_names = dataset.eval_labels, dataset.class_names
    for start in range(0, len(dataset), size):
        stop = min(start + size, len(dataset))
        names = [dataset.sample_name(index) for index in range(start, stop)]
        known = [""] * (stop - start)
        if labels is not None:
            numbers: list[int] = labels[start:stop].tolist()
            known = [str(label if class_names is None else class_names[label]) for label in numbers]
        yield start, stop, names, known


def write_left_out(path: Path, dataset: BaseImageDataset) -> None:
    """Lists the images that were left out, and why, if there are any, and says so."""
    if not dataset.num_unreadable:
        return
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for name, reason in dataset.left_out():
            file.write(f"{name}\t{' '.join(reason.split())}\n")
    print_log(f"{dataset.num_unreadable} unreadable images are listed in {path}", "current")


def _texts(column: NDArray[Any] | None, start: int, stop: int) -> list[str]:
    if column is None:
        return [""] * (stop - start)
    values = column[start:stop].tolist()
    if np.issubdtype(column.dtype, np.floating):
        return [f"{value:.6f}" for value in values]
    return [str(value) for value in values]
