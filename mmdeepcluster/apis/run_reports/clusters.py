"""Clusters as a report shows them: sizes, mixture, the images to look at, ids that last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mmdeepcluster.apis.stable_ids import first_ids, match_ids
from mmdeepcluster.evaluation import cluster_entropies

IMAGES_PER_CLUSTER = 12
# So many thumbnails of 64 pixels are about 40 MB.
_MOST_IMAGES = 20_000
# A heat map of more has cells below a pixel.
MAX_ROWS, MAX_COLUMNS = 400, 100
_NO_IMAGE = -1


@dataclass(frozen=True, eq=False)
class ClusterTable:
    """K clusters.

    Attributes:
        sizes: Images in each, int64 (K,).
        spreads: Mean distance of these to the centroid (K,), NaN where there is none.
        entropies: Entropy of the known classes in nats (K,) (R29), NaN for an empty cluster; None
            without classes.
        purities: Share of the commonest class, 1 - noise (R29) (K,), or None.
        main_classes: The commonest class (K,), -1 for an empty cluster, or None.
        sheets: Images to show, int64 (K, n), -1 where there is none: the nearest to the centroid,
            from ``parts[0]`` on those of median distance, from ``parts[1]`` on the farthest (R55).
        parts: See ``sheets``.
    """

    sizes: NDArray[np.int64]
    spreads: NDArray[np.float64]
    entropies: NDArray[np.float64] | None
    purities: NDArray[np.float64] | None
    main_classes: NDArray[np.int64] | None
    sheets: NDArray[np.int64]
    parts: tuple[int, int]


def default_images_per_cluster(num_clusters: int) -> int:
    """12, or fewer where there are so many clusters that the page would not open any more."""
    return max(3, min(IMAGES_PER_CLUSTER, _MOST_IMAGES // num_clusters))


def cluster_table(
    clusters: NDArray[np.int64],
    distances: NDArray[np.float32] | None,
    classes: NDArray[np.int64] | None,
    num_clusters: int,
    images_per_cluster: int,
) -> ClusterTable:
    """Describes clusters.

    Args:
        clusters: Cluster of each image (N,).
        distances: Distance of each to its centroid (N,); without them sheets show images in a
            seeded random order.
        classes: Known class of each (N,), or None.
        num_clusters: K.
        images_per_cluster: Images of a sheet, at least 3.
    """
    sizes = np.bincount(clusters, minlength=num_clusters)
    if distances is None:
        order_in = np.random.default_rng(0).random(len(clusters))
        spreads = np.full(num_clusters, np.nan)
    else:
        order_in = distances.astype(np.float64)
        sums = np.bincount(clusters, weights=order_in, minlength=num_clusters)
        spreads = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
    order = np.lexsort((order_in, clusters))
    ends = np.cumsum(sizes)
    num_near = -(-images_per_cluster // 2)
    num_middle = (images_per_cluster - num_near) // 2
    parts = (num_near, num_near + num_middle)
    sheets = np.full((num_clusters, images_per_cluster), _NO_IMAGE)
    for cluster, (size, end) in enumerate(zip(sizes.tolist(), ends.tolist(), strict=True)):
        chosen = _spread_out(size, images_per_cluster, *parts)
        sheets[cluster, : len(chosen)] = order[end - size + chosen]
    entropies = purities = main = None
    if classes is not None:
        mixture = cluster_entropies(clusters, classes)
        entropies, purities = np.full(num_clusters, np.nan), np.full(num_clusters, np.nan)
        entropies[mixture.clusters] = mixture.entropies
        purities[mixture.clusters] = 1.0 - mixture.noise
        main = _main_classes(clusters, classes, num_clusters)
    return ClusterTable(sizes, spreads, entropies, purities, main, sheets, parts)


def _spread_out(size: int, number: int, near: int, middle: int) -> NDArray[np.int64]:
    """Ranks to show out of ``size``: the first ones, some around the median, the last ones."""
    if size <= number:
        return np.arange(size)
    num_middle, num_far = middle - near, number - middle
    start = min(max(near, size // 2 - num_middle // 2), size - num_far - num_middle)
    return np.concatenate(
        [
            np.arange(near),
            np.arange(start, start + num_middle),
            np.arange(size - num_far, size),
        ]
    )


def _main_classes(
    clusters: NDArray[np.int64], classes: NDArray[np.int64], num_clusters: int
) -> NDArray[np.int64]:
    """The commonest class of each cluster; of equals the first."""
    width = int(classes.max()) + 1
    pairs, numbers = np.unique(clusters * width + classes, return_counts=True)
    found = np.full(num_clusters, -1)
    order = np.lexsort((-pairs, numbers))
    found[pairs[order] // width] = pairs[order] % width  # the last one written is the commonest
    return found


def follow_ids(
    clusterings: Sequence[NDArray[np.int64]], num_clusters: int
) -> list[NDArray[np.int64]]:
    """Stable id of each cluster in clusterings of the same images, one after the other.

    A cluster takes over the id of the one before that has most images in common with it, as
    :func:`~mmdeepcluster.apis.stable_ids.match_ids` matches them; a new one gets a new id. In
    common must be a tenth of the images of the smaller of both, of few clusters 4 / K but no more
    than half. While ODC trains, some epochs leave a cluster a quarter of its images, and those of
    CIFAR-10 were matched to themselves all the same.

    Returns:
        For each clustering ids int64 (K,).
    """
    least = min(0.5, max(0.1, 4 / num_clusters))
    found: list[NDArray[np.int64]] = []
    ids = first_ids(num_clusters)
    for position, labels in enumerate(clusterings):
        if position:
            before = found[-1][clusterings[position - 1]]
            ids = match_ids(before, labels, num_clusters, ids.next_id, least)
        found.append(ids.ids)
    return found


@dataclass(frozen=True, eq=False)
class Confusion:
    """Clusters by classes, in an order in which what belongs together lies together.

    Attributes:
        rows: Clusters, in order, int64 (R,).
        columns: Classes, in order, int64 (C,).
        table: Images of each pair, int64 (R, C).
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    table: NDArray[np.int64]


def confusion(
    clusters: NDArray[np.int64], classes: NDArray[np.int64], num_clusters: int, num_classes: int
) -> Confusion:
    """Sets clusters against known classes.

    The best one-to-one matching (Hungarian) comes first for each class; below it the other
    clusters whose commonest class it is, the purest first. At most ``MAX_ROWS`` clusters and
    ``MAX_COLUMNS`` classes, the largest.
    """
    sizes = np.bincount(clusters, minlength=num_clusters)
    totals = np.bincount(classes, minlength=num_classes)
    rows = np.sort(np.argsort(-sizes, kind="stable")[: min(MAX_ROWS, int((sizes > 0).sum()))])
    columns = np.sort(np.argsort(-totals, kind="stable")[:MAX_COLUMNS])
    row_of, column_of = np.full(num_clusters, -1), np.full(num_classes, -1)
    row_of[rows], column_of[columns] = np.arange(len(rows)), np.arange(len(columns))
    row, column = row_of[clusters], column_of[classes]
    inside = (row >= 0) & (column >= 0)
    cells = row[inside] * len(columns) + column[inside]
    table = np.bincount(cells, minlength=len(rows) * len(columns)).reshape(len(rows), len(columns))
    matched_rows, matched_columns = linear_sum_assignment(table, maximize=True)
    owner = table.argmax(axis=1)
    owner[matched_rows] = matched_columns
    matched = np.zeros(len(rows), bool)
    matched[matched_rows] = True
    purity = table.max(axis=1) / np.maximum(table.sum(axis=1), 1)
    order = np.lexsort((-purity, ~matched, owner))
    return Confusion(rows[order], columns, table[order])
