"""How well two labellings of the same samples agree."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
)

IntArray = NDArray[np.int64]

# The table and the solver's copy of it hold this squared: 3 GiB each.
MAX_HUNGARIAN_CLUSTERS = 20_000


def check_pair(first: ArrayLike, second: ArrayLike, names: tuple[str, str]) -> list[IntArray]:
    """Returns both labellings as int64 (N,).

    Raises:
        ValueError: If the lengths differ, there are no samples, or ids are negative or no
            integers.
    """
    arrays: list[NDArray[Any]] = [np.asarray(first), np.asarray(second)]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1:
            raise ValueError(f"{name} must be one number per sample (N,), got shape {array.shape}")
        if array.size and not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} must be integers, got {array.dtype}")
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(
            f"{names[0]} and {names[1]} must describe the same samples, got {len(arrays[0])} and "
            f"{len(arrays[1])}"
        )
    if not len(arrays[0]):
        raise ValueError(f"{names[0]} and {names[1]} are empty (0 and 0 samples)")
    lowest = [int(array.min()) for array in arrays]
    if min(lowest) < 0:
        raise ValueError(
            f"ids must not be negative; the smallest of {names[0]} is {lowest[0]}, of {names[1]} "
            f"{lowest[1]}: leave out samples that have no label"
        )
    return [array.astype(np.int64, copy=False) for array in arrays]


def _both_trivial(first: IntArray, second: IntArray) -> bool:
    """Whether each labelling puts all samples together."""
    return bool((first == first[0]).all() and (second == second[0]).all())


def normalized_mutual_info(
    a: ArrayLike, b: ArrayLike, *, average: Literal["arithmetic", "geometric"] = "arithmetic"
) -> float:
    """Normalised mutual information ``2 I(a; b) / (H(a) + H(b))`` (R25).

    Chance raises it with the number of clusters: compare different numbers of clusters by
    :func:`adjusted_mutual_info` instead.

    Args:
        a: Non-negative ids (N,).
        b: Non-negative ids (N,).
        average: Mean of both entropies that is divided by: ``arithmetic``, or ``geometric``,
            ``sqrt(H(a) H(b))``, as scikit-learn below 0.22.

    Returns:
        0 to 1; NaN where both have a single cluster. That is 0/0, and the 1 that is often
        reported for it would make a collapsed training look stable.

    Raises:
        ValueError: If the lengths differ, there are no samples, or ids are negative or no
            integers.
    """
    first, second = check_pair(a, b, ("a", "b"))
    if _both_trivial(first, second):
        return float("nan")
    return float(normalized_mutual_info_score(first, second, average_method=average))


def adjusted_mutual_info(a: ArrayLike, b: ArrayLike) -> float:
    """Mutual information adjusted for chance, with the arithmetic mean of both entropies.

    Time grows with clusters in ``a`` times clusters in ``b``: seconds at 10,000 x 1,000.

    Args:
        a: Non-negative ids (N,).
        b: Non-negative ids (N,).

    Returns:
        About 0 for independent ids, 1 for the same partition; NaN where both have a single
        cluster.

    Raises:
        ValueError: As :func:`normalized_mutual_info`.
    """
    first, second = check_pair(a, b, ("a", "b"))
    if _both_trivial(first, second):
        return float("nan")
    return float(adjusted_mutual_info_score(first, second))


def adjusted_rand(a: ArrayLike, b: ArrayLike) -> float:
    """Rand index adjusted for chance.

    Args:
        a: Non-negative ids (N,).
        b: Non-negative ids (N,).

    Returns:
        About 0 for independent ids, 1 for the same partition; NaN where both have a single
        cluster.

    Raises:
        ValueError: As :func:`normalized_mutual_info`.
    """
    first, second = check_pair(a, b, ("a", "b"))
    if _both_trivial(first, second):
        return float("nan")
    return float(adjusted_rand_score(first, second))


def hungarian_accuracy(assignments: ArrayLike, labels: ArrayLike) -> float:
    """Share of samples that the best one-to-one matching of clusters and classes gets right.

    With more clusters than classes the surplus clusters count as wrong, and the other way round,
    so the number falls as over-clustering grows. The matching is cubic in the smaller of both
    numbers and the table has clusters x classes entries.

    Args:
        assignments: Cluster of each sample (N,).
        labels: Class of each sample (N,).

    Returns:
        0 to 1.

    Raises:
        ValueError: As :func:`normalized_mutual_info`, or with more than
            ``MAX_HUNGARIAN_CLUSTERS`` clusters or classes.
    """
    clusters, classes = check_pair(assignments, labels, ("assignments", "labels"))
    cluster_ids, rows = np.unique(clusters, return_inverse=True)
    class_ids, columns = np.unique(classes, return_inverse=True)
    shape = (len(cluster_ids), len(class_ids))
    if max(shape) > MAX_HUNGARIAN_CLUSTERS:
        raise ValueError(
            f"matching {shape[0]} clusters with {shape[1]} classes is too costly, the limit is "
            f"{MAX_HUNGARIAN_CLUSTERS}: use adjusted_mutual_info, or lower model.num_clusters"
        )
    table = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return float(matched / len(clusters))


def clustering_scores(assignments: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """All agreements of a clustering with known labels (R68); labels never touch training (R26).

    Args:
        assignments: Cluster of each sample (N,).
        labels: Class of each sample (N,).

    Returns:
        ``nmi``, ``ami``, ``ari`` and ``accuracy``. The accuracy is NaN above
        ``MAX_HUNGARIAN_CLUSTERS`` clusters, so that a report still has the others.

    Raises:
        ValueError: As :func:`normalized_mutual_info`.
    """
    clusters, classes = check_pair(assignments, labels, ("assignments", "labels"))
    too_many = max(len(np.unique(clusters)), len(np.unique(classes))) > MAX_HUNGARIAN_CLUSTERS
    return {
        "nmi": normalized_mutual_info(clusters, classes),
        "ami": adjusted_mutual_info(clusters, classes),
        "ari": adjusted_rand(clusters, classes),
        "accuracy": float("nan") if too_many else hungarian_accuracy(clusters, classes),
    }


def label_change_ratio(before: ArrayLike, after: ArrayLike) -> float:
    """Share of samples whose label changed (R27; ODC, CVPR 2020, section 4.2 "Stability").

    Ids are compared as they are: a mere renaming of the clusters counts as a change.

    Args:
        before: Labels (N,) before the update.
        after: Labels (N,) of the same samples after it.

    Returns:
        0 to 1.

    Raises:
        ValueError: As :func:`normalized_mutual_info`.
    """
    first, second = check_pair(before, after, ("before", "after"))
    return float((first != second).mean())
