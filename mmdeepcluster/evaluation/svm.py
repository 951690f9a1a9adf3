"""Linear support vector machines on features, one per class (R64)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from threadpoolctl import ThreadpoolController  # comes with scikit-learn

from mmdeepcluster.evaluation.average_precision import interpolated_average_precision
from mmdeepcluster.evaluation.voc_labels import DIFFICULT, POSITIVE

FOLDS = 3
_POWERS = tuple(0.5**power for power in range(4, 20))
# "openselfsup": the list of ODC's benchmark, 19 values. "fair": what the command line of its origin
# lists besides the powers, decades from 1e-7 to 100, 26 values.
COST_LISTS: dict[str, tuple[float, ...]] = {
    "openselfsup": tuple(sorted((1.0, 10.0, 100.0, *_POWERS))),
    "fair": tuple(sorted((*(10.0**power for power in range(-7, 3)), *_POWERS))),
}
_NORM_EPS = 1e-5

Matrix = NDArray[np.float32]


class SvmScore(NamedTuple):
    """Score of one classifier.

    Attributes:
        value: Average precision, 0 to 1.
        converged: Whether each fit ended before its largest number of iterations.
    """

    value: float
    converged: bool


def svm_id(cost_list: str) -> str:
    """Name of the protocol of :func:`cross_validate` followed by :func:`fit_and_test`."""
    return f"voc-svm-l2-w2-cv{FOLDS}-{cost_list}{len(COST_LISTS[cost_list])}-apinterp"


def normalize_rows(features: NDArray[Any]) -> Matrix:
    """Rows (N, D) over their length + 1e-5, as the benchmark does it."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / (lengths + _NORM_EPS)).astype(np.float32)


def training_targets(labels: NDArray[Any]) -> NDArray[np.int64]:
    """1 where the class is shown, else -1: in training a difficult image is negative."""
    return np.where(np.asarray(labels) == POSITIVE, 1, -1)


def check_svm_training(labels: NDArray[Any], name: str) -> None:
    """Refuses labels (N,) of a class that three folds cannot be made of.

    Raises:
        ValueError: With both counts and the least.
    """
    positive = int((np.asarray(labels) == POSITIVE).sum())
    if min(positive, len(labels) - positive) < FOLDS:
        raise ValueError(
            f"class {name!r} has {positive} positive and {len(labels) - positive} negative "
            f"training images, cross-validation needs {FOLDS} of each: leave the class out"
        )


def cross_validate(features: Matrix, labels: NDArray[Any], cost: float) -> SvmScore:
    """Mean average precision over three stratified folds of the training images.

    As in the benchmark this is scikit-learn's (not interpolated) average precision; it only picks
    the cost.

    Args:
        features: Normalised rows (N, D).
        labels: 1, -1 or 0 of one class (N,).
        cost: Cost C.
    """
    values, converged = _watched(
        lambda: cross_val_score(
            _svm(cost), features, training_targets(labels), cv=FOLDS, scoring="average_precision"
        )
    )
    return SvmScore(float(values.mean()), converged)


def fit_and_test(
    features: Matrix,
    labels: NDArray[Any],
    tests: Sequence[tuple[Matrix, NDArray[Any]]],
    cost: float,
) -> list[SvmScore]:
    """Trains on all training images; interpolated average precision on each of several sets.

    Difficult test images are left out (R64).

    Args:
        features: Normalised rows (N, D).
        labels: 1, -1 or 0 of one class (N,).
        tests: Normalised rows (M, D) and labels (M,) of each set.
        cost: Cost C.

    Returns:
        One score per set.
    """
    counted = [np.asarray(truth) != DIFFICULT for _, truth in tests]

    def work() -> list[NDArray[np.float64]]:
        machine = _svm(cost).fit(features, training_targets(labels))
        return [
            machine.decision_function(rows[kept])
            for (rows, _), kept in zip(tests, counted, strict=True)
        ]

    scores, converged = _watched(work)
    return [
        SvmScore(
            interpolated_average_precision(np.asarray(truth)[kept] == POSITIVE, found), converged
        )
        for (_, truth), kept, found in zip(tests, counted, scores, strict=True)
    ]


def best_cost(scores: Mapping[float, float]) -> float:
    """The cost with the highest score; of equal ones the smallest.

    Raises:
        ValueError: If there is none.
    """
    if not scores:
        raise ValueError("no cost has a score")
    return max(sorted(scores), key=lambda cost: scores[cost])


def _svm(cost: float) -> LinearSVC:
    # liblinear draws the order of its coordinates: the seed makes it the same in any process
    return LinearSVC(
        C=cost,
        class_weight={1: 2, -1: 1},
        penalty="l2",
        loss="squared_hinge",
        dual=True,
        tol=1e-4,
        max_iter=2000,
        random_state=0,
    )


@cache
def _threads() -> ThreadpoolController:
    """Looks for the libraries that have threads, which takes longer than a small fit."""
    return ThreadpoolController()


def _watched(work: Callable[[], Any]) -> tuple[Any, bool]:
    """What it returns, and whether scikit-learn did not warn that a fit had not converged."""
    # one thread, so that the bits do not depend on how many processes share the cores
    with _threads().limit(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        found = work()
    return found, not any(issubclass(item.category, ConvergenceWarning) for item in caught)
