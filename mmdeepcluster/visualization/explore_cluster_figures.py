"""Figures of the stages from features to draws, as HTML."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.visualization.exploration import Exploration
from mmdeepcluster.visualization.explore_charts import bar_chart, line_chart
from mmdeepcluster.visualization.explore_parts import (
    figure,
    for_each_own,
    heat,
    side_by_side,
    strip_figure,
    thumb,
    thumbs,
)

_NEAREST = 16
_OPEN_CLUSTERS = 24


def features(data: Exploration) -> str:
    """Own rows as strips, all rows as a heat map, and the spectrum."""
    first = data.matrices[0]
    content = for_each_own(data, lambda index: strip_figure(first.rows[index], "feature"))
    return content + side_by_side(
        heat(first.rows, f"{_size(first.rows)} numbers, {first.name}"),
        figure(
            line_chart(
                {"eigenvalue": _positive(first.spectrum)}, "direction", "variance", log=True
            ),
            "Variance along the principal directions.",
        ),
    )


def transformed(data: Exploration) -> str:
    """Heat maps behind each further stage, and the spectra of all."""
    heats = [
        heat(matrix.rows, f"{_size(matrix.rows)} numbers, {matrix.name}")
        for matrix in data.matrices[1:]
    ]
    spectra = {matrix.name: _positive(matrix.spectrum) for matrix in data.matrices}
    lengths = np.linalg.norm(data.matrices[-2].rows, axis=1)
    words = (
        f"Variance along the principal directions. Rows had lengths from {lengths.min():.3g} to "
        f"{lengths.max():.3g} before they were scaled."
    )
    chart = figure(line_chart(spectra, "direction", "variance", log=True), words)
    own = for_each_own(
        data, lambda index: strip_figure(data.matrices[-1].rows[index], "row that is clustered")
    )
    return own + side_by_side(*heats, chart)


def _size(rows: NDArray[Any]) -> str:
    return f"{rows.shape[0]} \u00d7 {rows.shape[1]}"


def _positive(values: NDArray[Any]) -> list[float]:
    """Numbers without those that are rounding alone."""
    found = [float(value) for value in values if value > values[0] * 1e-10]
    return found or [1e-12]


def kmeans(data: Exploration) -> str:
    """Objective, sizes, rows in order of clusters, and the images of each cluster."""
    found = data.clustering
    parts = []
    if found.objectives:
        chart = line_chart({"objective": found.objectives}, "iteration", "mean squared distance")
        words = f"{found.num_iters} iterations, {found.objective:.4g} in the end."
        parts.append(figure(chart, words))
    sizes = bar_chart({"images": found.counts.tolist()}, "cluster", "images")
    words = f"Sizes from {found.counts.min()} to {found.counts.max()}."
    if found.dissolved >= 0:
        words += f" Clusters that were too small and were refilled: {found.dissolved}."
    parts.append(figure(sizes, words))
    order = np.lexsort((found.distances, found.labels))
    rows = data.matrices[-1].rows
    words = "The clustered rows in the order of their clusters, without the mean of all."
    parts.append(heat((rows - rows.mean(axis=0))[order], words))
    return side_by_side(*parts) + _clusters(data)


def _clusters(data: Exploration) -> str:
    rows = [_cluster(data, cluster) for cluster in range(data.num_clusters)]
    first = f'<div class="clusters">{"".join(rows[:_OPEN_CLUSTERS])}</div>'
    rest = rows[_OPEN_CLUSTERS:]
    if rest:
        first += (
            f"<details><summary>{len(rest)} more clusters</summary>"
            f'<div class="clusters">{"".join(rest)}</div></details>'
        )
    words = "<p>The images of each cluster, nearest to its centroid first; own images have a ring."
    return f"{words}</p>{first}"


def _cluster(data: Exploration, cluster: int) -> str:
    found = data.clustering
    members = np.flatnonzero(found.labels == cluster)
    members = members[np.argsort(found.distances[members], kind="stable")]
    # Own images are shown wherever they stand.
    shown = [n for rank, n in enumerate(members.tolist()) if rank < _NEAREST or n < len(data.own)]
    title = f"{cluster}"
    if found.num_super_clusters > 1:
        each = data.num_clusters // found.num_super_clusters
        title = f"{cluster // each} \u00b7 {cluster % each}"
    return (
        f'<div class="cluster"><b>{title}</b><span>{len(members)}</span>'
        f"{thumbs([thumb(data, n) for n in shown])}</div>"
    )


def pseudo_labels(data: Exploration) -> str:
    """Distance of each own image to all centroids, and its nearest neighbours."""

    def make(index: int) -> str:
        place = data.neighborhoods[index]
        label = int(data.clustering.labels[index])
        chart = bar_chart(
            {"distance": place.centroid_distances.tolist()}, "cluster", "distance", marked=label
        )
        near = [
            thumb(data, int(n), f"{d:.2f}")
            for n, d in zip(place.neighbors, place.distances, strict=True)
        ]
        order = np.argsort(place.centroid_distances, kind="stable")
        second = int(order[1] if int(order[0]) == label else order[0])
        words = (
            f"Label {label}, at distance {place.centroid_distances[label]:.3f}; the next centroid "
            f"is {second}, at {place.centroid_distances[second]:.3f}."
        )
        return side_by_side(
            figure(chart, words), figure(thumbs(near), "Nearest other images and their distances.")
        )

    return for_each_own(data, make)


def draws(data: Exploration) -> str:
    """Members and draws of each cluster, and weights where losses are weighted."""
    found = data.draws
    chart = bar_chart(
        {"members": found.counts.tolist(), "draws": found.draws.tolist()}, "cluster", "images"
    )
    parts = [figure(chart, f"One epoch of {found.sampler}: draws of each cluster and its size.")]
    if found.weights is not None:
        weights = bar_chart({"weight": found.weights.tolist()}, "cluster", "weight of the loss")
        parts.append(figure(weights, "Weight of an image of each cluster, 1 for the smallest."))
        pull = (found.draws * found.weights).tolist()
        mass = bar_chart({"draws times weight": pull}, "cluster", "draws \u00d7 weight")
        parts.append(figure(mass, "What each cluster weighs in an epoch: flatter than its size."))
    return side_by_side(*parts)
