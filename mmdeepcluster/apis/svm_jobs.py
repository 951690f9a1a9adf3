"""Many support vector machines: in parallel, and safe from a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed  # comes with scikit-learn
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.apis.json_lines import JsonLines
from mmdeepcluster.engine import ConfigError, derive_seed
from mmdeepcluster.evaluation import (
    COST_LISTS,
    SAMPLES,
    SHOTS,
    LowShotScore,
    VocLabels,
    best_cost,
    check_costs,
    check_svm_training,
    cross_validate,
    draw_low_shot,
    fit_and_test,
    grand_mean,
    low_shot_id,
    normalize_rows,
    pick,
    summarize_low_shot,
    svm_id,
)

Key = tuple[str | int | float, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class SvmResult:
    """Result of :func:`voc_svm`.

    Attributes:
        protocol: Its id.
        mean_ap: Mean over classes, 0 to 1.
        per_class: AP of each class.
        costs: Cost of each class.
        not_converged: Fits that ended at their largest number of iterations.
    """

    protocol: str
    mean_ap: float
    per_class: dict[str, float]
    costs: dict[str, float]
    not_converged: int


@dataclass(frozen=True)
class LowShotResult:
    """Result of :func:`voc_low_shot`.

    Attributes:
        protocol: Its id.
        scores: One for each number of positives.
        grand_mean: Their mean.
    """

    protocol: str
    scores: tuple[LowShotScore, ...]
    grand_mean: float


def voc_svm(
    features: NDArray[Any],
    labels: VocLabels,
    test_features: NDArray[Any],
    test_labels: VocLabels,
    *,
    cost_list: str = "openselfsup",
    num_workers: int = 1,
    results: str | Path | None = None,
) -> SvmResult:
    """Linear SVM per class, cost by three-fold cross-validation, mean AP on the test images (R64).

    Args:
        features: Features (N, D) of the training images, not normalised.
        labels: Their classes.
        test_features: Features (M, D).
        test_labels: Their classes, the same ones.
        cost_list: Name in ``COST_LISTS``; results of different lists do not compare.
        num_workers: Processes; the result is the same for any number.
        results: File of JSON lines, one for each class and cost; what is there of the same
            features is not computed again. Defaults to None, nothing is kept.

    Returns:
        The figures.

    Raises:
        ConfigError: If a class cannot be used, shapes do not fit, or the file is of other features.
    """
    rows, test_rows = _checked(features, labels, test_features, test_labels)
    costs = _costs(cost_list)
    for column, name in enumerate(labels.classes):
        try:
            check_svm_training(labels.labels[:, column], name)
        except ValueError as error:
            raise ConfigError(str(error)) from error
    ledger = _Ledger(results, _digest(rows, labels, test_rows, test_labels), num_workers)
    targets = [labels.labels[:, column] for column in range(len(labels.classes))]
    found = ledger.run(
        {
            ("cv", name, cost): (_cross_validate_row, rows, target, cost)
            for name, target in zip(labels.classes, targets, strict=True)
            for cost in costs
        }
    )
    chosen = {
        name: best_cost({cost: found["cv", name, cost]["value"] for cost in costs})
        for name in labels.classes
    }
    tested = ledger.run(
        {
            ("test", name, chosen[name]): (
                _test_row,
                rows,
                target,
                test_rows,
                test_labels.labels[:, column],
                chosen[name],
            )
            for column, (name, target) in enumerate(zip(labels.classes, targets, strict=True))
        }
    )
    per_class = {name: tested["test", name, chosen[name]]["value"] for name in labels.classes}
    return SvmResult(
        svm_id(cost_list),
        float(np.mean(list(per_class.values()))),
        per_class,
        chosen,
        sum(not row["converged"] for row in (*found.values(), *tested.values())),
    )


def voc_low_shot(
    features: NDArray[Any],
    labels: VocLabels,
    test_features: NDArray[Any],
    test_labels: VocLabels,
    *,
    shots: Sequence[int] = SHOTS,
    samples: int = SAMPLES,
    protocol: str = "goyal",
    cost_list: str = "openselfsup",
    drawn: Mapping[tuple[int, int], NDArray[np.int64]] | None = None,
    seed: int = 0,
    num_workers: int = 1,
    results: str | Path | None = None,
) -> LowShotResult:
    """Linear SVMs on k positives and 19 k negatives per class (R65).

    Args:
        features: Features (N, D) of the training images, not normalised.
        labels: Their classes.
        test_features: Features (M, D).
        test_labels: Their classes, the same ones.
        shots: Values of k.
        samples: Draws for each k.
        protocol: How the cost is picked, see
            :func:`~mmdeepcluster.evaluation.low_shot.low_shot_id`. Both need the same fits.
        cost_list: Name in ``COST_LISTS``.
        drawn: Published draws, see :func:`~mmdeepcluster.evaluation.read_low_shot_labels`, whose
            samples are taken in ascending order. Defaults to None, seeded draws.
        seed: Seed of the draws.
        num_workers: Processes; the result is the same for any number.
        results: As in :func:`voc_svm`; one line for each k, draw and class.

    Returns:
        The figures.

    Raises:
        ConfigError: As :func:`voc_svm`, or if a class has too few images.
    """
    rows, test_rows = _checked(features, labels, test_features, test_labels)
    costs = _costs(cost_list)
    ledger = _Ledger(results, _digest(rows, labels, test_rows, test_labels), num_workers)
    chosen = {
        (k, sample, column): _draw(labels, column, k, sample, seed, drawn)
        for k in shots
        for sample in range(samples)
        for column in range(len(labels.classes))
    }
    # A draw is part of the key: another seed or other files are other tasks.
    keys: dict[tuple[int, int, int], Key] = {
        place: ("low-shot", cost_list, *place, _array_digest(*parts))
        for place, parts in chosen.items()
    }
    found = ledger.run(
        {
            keys[place]: (
                _low_shot_row,
                rows,
                labels.labels[:, place[2]],
                *parts,
                test_rows,
                test_labels.labels[:, place[2]],
                costs,
            )
            for place, parts in chosen.items()
        }
    )

    def table(name: str, k: int) -> NDArray[np.float64]:
        return np.array(
            [
                [found[keys[k, s, c]][name] for c in range(len(labels.classes))]
                for s in range(samples)
            ],
            np.float64,
        )

    try:
        scores = tuple(
            summarize_low_shot(k, costs, table("test", k), table("rest", k), protocol)
            for k in shots
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return LowShotResult(low_shot_id(protocol, cost_list), scores, grand_mean(scores))


def _draw(
    labels: VocLabels,
    column: int,
    k: int,
    sample: int,
    seed: int,
    drawn: Mapping[tuple[int, int], NDArray[np.int64]] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are drawn and their labels."""
    values = labels.labels[:, column]
    if drawn is None:
        try:
            rows = draw_low_shot(values, k, derive_seed(seed, "low shot", column, k, sample))
        except ValueError as error:
            raise ConfigError(f"class {labels.classes[column]!r}: {error}") from error
        return rows, values[rows].astype(np.int64)
    numbers = sorted(number for number, shot in drawn if shot == k)
    if sample >= len(numbers):
        raise ConfigError(f"the published draws have {len(numbers)} samples of k={k}")
    published = drawn[numbers[sample], k]
    if published.shape != labels.labels.shape:
        raise ConfigError(
            f"the published draws are of {published.shape} images and classes, the data of "
            f"{labels.labels.shape}"
        )
    targets = published[:, column]
    rows = np.flatnonzero(targets != -1)
    return rows, np.where(targets[rows] == 1, 1, -1)


def _cross_validate_row(rows: Any, target: Any, cost: float) -> Row:
    return dict(cross_validate(rows, target, cost)._asdict())


def _test_row(rows: Any, target: Any, test_rows: Any, truth: Any, cost: float) -> Row:
    return dict(fit_and_test(rows, target, [(test_rows, truth)], cost)[0]._asdict())


def _low_shot_row(
    rows: Any,
    target: Any,
    drawn: Any,
    drawn_target: Any,
    test_rows: Any,
    truth: Any,
    costs: Sequence[float],
) -> Row:
    rest = np.setdiff1d(np.arange(len(rows)), drawn)
    tests = [(test_rows, truth), (rows[rest], target[rest])]
    scores = [fit_and_test(rows[drawn], drawn_target, tests, cost) for cost in costs]
    return {
        "test": [on_test.value for on_test, _ in scores],
        "rest": [on_rest.value for _, on_rest in scores],
    }


class _Ledger:
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
            for key, row in parallel(delayed(_keyed)(key, *task) for key, task in left):
                self.done[key] = row
                if self.lines is not None:
                    self.lines.append({"features": self.digest, "task": list(key), "result": row})
        return {key: self.done[key] for key in tasks}


def _keyed(key: Key, function: Callable[..., Row], *arguments: Any) -> tuple[Key, Row]:
    return key, function(*arguments)


def _costs(cost_list: str) -> tuple[float, ...]:
    try:
        costs = pick(COST_LISTS, cost_list, "cost list")
        check_costs(costs)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return costs


def _checked(
    features: NDArray[Any], labels: VocLabels, test_features: NDArray[Any], test_labels: VocLabels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised rows of both sets."""
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


def _digest(
    rows: NDArray[Any], labels: VocLabels, test_rows: NDArray[Any], test_labels: VocLabels
) -> str:
    names = json.dumps([labels.classes, labels.ids, test_labels.ids])
    arrays = _array_digest(rows, labels.labels, test_rows, test_labels.labels)
    return hashlib.sha256(f"{names}{arrays}".encode()).hexdigest()


def _array_digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
