"""How far two partitions of the same samples agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
)
from sklearn.metrics.cluster import contingency_matrix

MAX_MATCHED_CLUSTERS = 20_000


def _ids(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be integers (N,) with N > 0, got {array.dtype} {array.shape}"
        )
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got {array.min()}")
    return array.astype(np.int64, copy=False)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b = _ids(first, "the first partition"), _ids(second, "the second partition")
    if len(a) != len(b):
        raise ValueError(f"partitions are of {len(a)} and {len(b)} samples")
    return a, b


def normalized_mutual_info(first: ArrayLike, second: ArrayLike) -> float:
    """NMI of two partitions (N,), normalised by the arithmetic mean of their entropies (R25).

    NaN when both have a single cluster: scikit-learn returns 1 there, which would make a collapse
    look like convergence. NMI rises with the number of clusters even for random labels; compare
    different K by :func:`adjusted_mutual_info`.

    Raises:
        ValueError: If a partition is empty, negative, not integer, or of another length.
    """
    a, b = _pair(first, second)
    if a.min() == a.max() and b.min() == b.max():
        return float("nan")
    return float(normalized_mutual_info_score(a, b, average_method="arithmetic"))


def adjusted_mutual_info(first: ArrayLike, second: ArrayLike) -> float:
    """NMI corrected for chance: 0 for random labels whatever K.

    The expectation takes O(K * C) terms of up to N / K each; with 10,000 clusters and 1,000 classes
    that is minutes.

    Raises:
        ValueError: If a partition is empty, negative, not integer, or of another length.
    """
    return float(adjusted_mutual_info_score(*_pair(first, second)))


def adjusted_rand(first: ArrayLike, second: ArrayLike) -> float:
    """Rand index corrected for chance.

    Raises:
        ValueError: If a partition is empty, negative, not integer, or of another length.
    """
    return float(adjusted_rand_score(*_pair(first, second)))


def hungarian_accuracy(assignments: ArrayLike, labels: ArrayLike) -> float:
    """Share of samples that are right under the best one-to-one matching of clusters and classes.

    With more clusters than classes the unmatched clusters count as wrong.

    Args:
        assignments: Cluster of each sample (N,).
        labels: Class of each sample (N,).

    Raises:
        ValueError: For bad partitions, or more than 20,000 clusters: the matching takes cubic time.
    """
    a, b = _pair(assignments, labels)
    table = np.asarray(contingency_matrix(a, b))
    if max(table.shape) > MAX_MATCHED_CLUSTERS:
        raise ValueError(
            f"matching {table.shape[0]} clusters with {table.shape[1]} classes takes cubic time; "
            f"the limit is {MAX_MATCHED_CLUSTERS}"
        )
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(a))


def clustering_scores(assignments: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """``nmi``, ``ami``, ``ari`` and Hungarian ``accuracy`` of clusters against known labels (R68).

    Raises:
        ValueError: If a partition is empty, negative, not integer, or of another length.
    """
    return {
        "nmi": normalized_mutual_info(assignments, labels),
        "ami": adjusted_mutual_info(assignments, labels),
        "ari": adjusted_rand(assignments, labels),
        "accuracy": hungarian_accuracy(assignments, labels),
    }


def label_change_ratio(before: ArrayLike, after: ArrayLike) -> float:
    """Share of samples whose cluster id differs (R27); unlike NMI it sees permutations."""
    a, b = _pair(before, after)
    return float((a != b).mean())
