"""What the jobs of support vector machines share: checks, and tasks that survive a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed  # comes with scikit-learn
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.apis.json_lines import JsonLines
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.evaluation import COST_LISTS, VocLabels, normalize_rows, pick
from mmdeepcluster.evaluation.svm_rows import Key, Row, keyed


class Ledger:
    """Tasks that are done, and a way to do the others.

    Args:
        path: File of JSON lines, or None to keep nothing.
        digest: Identity of what the tasks work on.
        num_workers: Processes.
    """

    def __init__(self, path: str | Path | None, digest: str, num_workers: int) -> None:
        if num_workers < 1:
            raise ConfigError(f"num_workers must be >= 1, got {num_workers}")
        self.digest = digest
        self.num_workers = num_workers
        try:
            self.lines = None if path is None else JsonLines(path)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.done: dict[Key, Row] = {}
        for row in self.lines.rows if self.lines else ():
            if row["features"] != digest:
                raise ConfigError(
                    f"{path} holds results of other features or labels: remove it, or name "
                    "another file"
                )
            self.done[tuple(row["task"])] = row["result"]

    def run(self, tasks: Mapping[Key, tuple[Any, ...]]) -> dict[Key, Row]:
        """Results of tasks ``(function, *arguments)`` by key; those already done are not repeated.

        Equal results for any number of processes: each task is deterministic and stands alone.
        """
        left = [(key, task) for key, task in tasks.items() if key not in self.done]
        if len(left) < len(tasks):
            print_log(f"{len(tasks) - len(left)} of {len(tasks)} SVM tasks are done", "current")
        if left:
            # joblib maps large arrays into the processes instead of copying them
            parallel = Parallel(self.num_workers, return_as="generator_unordered")
            for key, row in parallel(delayed(keyed)(key, *task) for key, task in left):
                self.done[key] = row
                if self.lines is not None:
                    self.lines.append({"features": self.digest, "task": list(key), "result": row})
        return {key: self.done[key] for key in tasks}


def costs_of(cost_list: str) -> tuple[float, ...]:
    """The costs of a published list.

    Raises:
        ConfigError: For an unknown name, with those that there are.
    """
    try:
        return pick(COST_LISTS, cost_list, "cost list")
    except ValueError as error:
        raise ConfigError(str(error)) from error


def checked_rows(
    features: NDArray[Any], labels: VocLabels, test_features: NDArray[Any], test_labels: VocLabels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised rows of both sets.

    Raises:
        ConfigError: If rows and labels, or the classes of both sets, do not fit, or no test image
            shows a class.
    """
    if labels.classes != test_labels.classes or not labels.classes:
        raise ConfigError(
            f"training and test need the same classes, got {list(labels.classes)} and "
            f"{list(test_labels.classes)}"
        )
    for name, rows, known in (
        ("training", features, labels),
        ("test", test_features, test_labels),
    ):
        if rows.ndim != 2 or len(rows) != len(known.ids):
            raise ConfigError(
                f"{name} features of shape {rows.shape} are not one row for each of "
                f"{len(known.ids)} labelled images"
            )
    lacking = [name for name, count in test_labels.counts().items() if count == 0]
    if lacking:
        raise ConfigError(
            f"no test image shows {', '.join(lacking)}, so there is no average precision: leave "
            "these classes out"
        )
    return normalize_rows(features), normalize_rows(test_features)


def digest_of(
    rows: NDArray[Any], labels: VocLabels, test_rows: NDArray[Any], test_labels: VocLabels
) -> str:
    """sha256 of features and labels of both sets."""
    names = json.dumps([labels.classes, labels.ids, test_labels.ids])
    arrays = array_digest(rows, labels.labels, test_rows, test_labels.labels)
    return hashlib.sha256(f"{names}{arrays}".encode()).hexdigest()


def array_digest(*arrays: NDArray[Any]) -> str:
    """sha256 of arrays, their types and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
