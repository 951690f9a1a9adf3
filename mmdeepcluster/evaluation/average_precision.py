"""Area under an interpolated precision-recall curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def interpolated_average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Average precision as VOC 2010 and later, and the SVM benchmarks, define it (R64).

    The precision at a recall is the best one at that recall or a higher one; the area below that
    curve is the sum over the steps of the recall. Samples of equal score come in together, so
    their order does not matter.

    Args:
        positive: Whether each sample is positive (N,).
        scores: Score of each sample (N,), higher is more positive.

    Returns:
        0 to 1; NaN without a positive sample, for which it is not defined.

    Raises:
        ValueError: If shapes differ, or a score is not finite.
    """
    truth, values = np.asarray(positive, bool), np.asarray(scores, np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise ValueError(
            f"positive and scores must be one per sample (N,), got {truth.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} scores are NaN")
    if not truth.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)
    hits = np.cumsum(truth[order])[ends]
    recall = np.concatenate([[0.0], hits / hits[-1]])
    precision = _never_rising(hits / (ends + 1))
    return float(np.sum(np.diff(recall) * precision))


def _never_rising(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """At each place the largest value from there on."""
    return np.maximum.accumulate(precision[::-1])[::-1]
