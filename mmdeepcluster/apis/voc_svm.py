"""A support vector machine per class on all training images, in parallel (R64)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.apis.svm_tasks import Ledger, checked_rows, costs_of, digest_of
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.evaluation import (
    VocLabels,
    best_cost,
    check_svm_training,
    svm_id,
)
from mmdeepcluster.evaluation.svm_rows import cross_validate_row, test_row


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
    rows, test_rows = checked_rows(features, labels, test_features, test_labels)
    costs = costs_of(cost_list)
    for column, name in enumerate(labels.classes):
        try:
            check_svm_training(labels.labels[:, column], name)
        except ValueError as error:
            raise ConfigError(str(error)) from error
    ledger = Ledger(results, digest_of(rows, labels, test_rows, test_labels), num_workers)
    targets = [labels.labels[:, column] for column in range(len(labels.classes))]
    found = ledger.run(
        {
            ("cv", name, cost): (cross_validate_row, rows, target, cost)
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
                test_row,
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
