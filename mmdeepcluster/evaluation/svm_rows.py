"""What a process is handed: one support vector machine, or one draw with all costs.

These stand here because a process imports the room of the function that it is handed, and this one
is quick to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmdeepcluster.evaluation.svm import cross_validate, fit_and_test

Key = tuple[str | int | float, ...]
Row = dict[str, Any]


def keyed(key: Key, function: Callable[..., Row], *arguments: Any) -> tuple[Key, Row]:
    """The result of a task, and whose it is."""
    return key, function(*arguments)


def cross_validate_row(rows: Any, target: Any, cost: float) -> Row:
    """``value`` and ``converged`` of :func:`cross_validate`."""
    return dict(cross_validate(rows, target, cost)._asdict())


def test_row(rows: Any, target: Any, test_rows: Any, truth: Any, cost: float) -> Row:
    """``value`` and ``converged`` of :func:`fit_and_test` on one set."""
    return dict(fit_and_test(rows, target, [(test_rows, truth)], cost)[0]._asdict())


def low_shot_row(
    rows: Any,
    target: Any,
    drawn: Any,
    drawn_target: Any,
    test_rows: Any,
    truth: Any,
    costs: Sequence[float],
) -> Row:
    """Average precisions of each cost, trained on the drawn rows of one class.

    Returns:
        ``test``, of the test images, and ``rest``, of the training images that were not drawn.
    """
    rest = np.setdiff1d(np.arange(len(rows)), drawn)
    tests = [(test_rows, truth), (rows[rest], target[rest])]
    scores = [fit_and_test(rows[drawn], drawn_target, tests, cost) for cost in costs]
    return {
        "test": [on_test.value for on_test, _ in scores],
        "rest": [on_rest.value for _, on_rest in scores],
    }
