"""Figures of the stages of an exploration, as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.visualization.exploration import Exploration, Layer, OwnImage, Step
from mmdeepcluster.visualization.explore_charts import bar_chart, line_chart
from mmdeepcluster.visualization.explore_pictures import (
    data_uri,
    diverging,
    grey,
    sequential,
    strip,
    thinned,
)

SPRITE_COLUMNS = 64
_NEAREST = 16
_OPEN_CLUSTERS = 24
_CHANGED = 18
# Views of at least so many pixels are no pixel art: they may be compressed.
_PHOTOGRAPH = 128


def escape(text: Any) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def figure(content: str, caption: str = "", style: str = "") -> str:
    """A figure with a caption."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="{style}">{content}{words}</figure>'


def picture(pixels: NDArray[Any], alt: str, style: str = "", kind: str = "png") -> str:
    """A picture in the page; small ones are enlarged without smoothing."""
    smooth = " smooth" if min(pixels.shape[:2]) > 160 else ""
    if style == "view" and min(pixels.shape[:2]) >= _PHOTOGRAPH:
        kind = "jpeg"
    return (
        f'<img class="{style}{smooth}" alt="{escape(alt)}" width="{pixels.shape[1]}" '
        f'height="{pixels.shape[0]}" src="{data_uri(pixels, kind)}">'
    )


def for_each_own(data: Exploration, make: Callable[[int], str]) -> str:
    """One panel for each own image, of which the page shows the chosen one."""
    return "".join(
        f'<div class="own" data-own="{index}">'
        f'<p class="who">{escape(image.name)}</p>{make(index)}</div>'
        for index, image in enumerate(data.own)
    )


def thumb(data: Exploration, index: int, note: str = "") -> str:
    """The small picture of an image; own ones have a ring."""
    row, column = divmod(index, SPRITE_COLUMNS)
    own = " mine" if index < len(data.own) else ""
    name = escape(data.names[index].rpartition("/")[2])
    words = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<span class="small{own}"><span class="thumb" role="img" aria-label="{name}" '
        f'title="{name}" style="--x:{column};--y:{row}"></span>{words}</span>'
    )


def thumbs(items: Sequence[str]) -> str:
    """Small pictures in a row that wraps."""
    return f'<div class="thumbs">{"".join(items)}</div>'


def originals(data: Exploration) -> str:
    """The images as they are."""
    items = [
        figure(
            picture(image.original, image.name, "photo smooth", "jpeg"),
            f"{image.name}, {image.size[0]} \u00d7 {image.size[1]}",
        )
        for image in data.own
    ]
    return f'<div class="photos">{"".join(items)}</div>'


def steps(data: Exploration, which: str) -> str:
    """Pictures after each step of a pipeline, and further draws of the training one."""

    def make(index: int) -> str:
        image = data.own[index]
        content = _steps(image.train_steps if which == "train" else image.eval_steps, image.name)
        if which == "train":
            draws = [picture(p, f"draw {n}", "view") for n, p in enumerate(image.train_draws, 2)]
            content += figure(
                f'<div class="row">{"".join(draws)}</div>', "Further draws of the same image."
            )
        return content

    return for_each_own(data, make)


def _steps(found: Sequence[Step], name: str) -> str:
    items = [
        f"<li>{picture(step.picture, f'{name} after {step.name}', 'view')}"
        f"<code>{escape(step.name)}</code></li>"
        for step in found
    ]
    return figure(f'<ol class="steps">{"".join(items)}</ol>')


def planes(data: Exploration) -> str:
    """Grey value and gradients."""

    def make(index: int) -> str:
        items = []
        for name, plane in data.own[index].planes.items():
            colours = grey(plane) if name == "grey value" else diverging(plane)
            words = name if name == "grey value" else f"{name} gradient"
            items.append(figure(picture(colours, words, "plane"), words))
        return f'<div class="row">{"".join(items)}</div>'

    return for_each_own(data, make)


def turns(data: Exploration) -> str:
    """The four turns."""

    def make(index: int) -> str:
        items = [
            figure(picture(p, f"turned by {90 * n} degrees", "view"), f"{90 * n}\u00b0")
            for n, p in enumerate(data.own[index].turned)
        ]
        return f'<div class="row">{"".join(items)}</div>'

    return for_each_own(data, make)


def network(data: Exploration) -> str:
    """Blocks of the layers, and feature maps of the own images."""
    highest = max((layer.shape[1] for layer in data.layers if len(layer.shape) == 3), default=1)
    blocks = "".join(_block(layer, highest) for layer in data.layers)
    diagram = figure(
        f'<ol class="layers">{blocks}</ol>',
        "Channels \u00d7 height \u00d7 width, or the width of a vector.",
    )
    return diagram + for_each_own(data, lambda index: _maps(data.own[index]))


def _block(layer: Layer, highest: int) -> str:
    height = np.log2(layer.shape[1] + 1) / np.log2(highest + 1) if len(layer.shape) == 3 else 0.08
    width = min(6 + 5 * np.log2(layer.shape[0] + 1), 72)
    size = " \u00d7 ".join(map(str, layer.shape))
    marks = (" tapped" if layer.tapped else "") + ("" if layer.used else " unused")
    note = "<em>feature</em>" if layer.tapped else ""
    return (
        f'<li class="layer {layer.kind}{marks}"><svg viewBox="0 0 76 56" aria-hidden="true">'
        f'<rect x="{38 - width / 2:.1f}" y="{28 - 26 * height:.1f}" width="{width:.1f}" '
        f'height="{52 * height:.1f}" rx="2"/></svg><b>{_breakable(layer.name)}</b>'
        f"<span>{size}</span>{note}</li>"
    )


def _breakable(name: str) -> str:
    """A name that may go on in the next line before a capital."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", escape(name))


def _maps(image: OwnImage) -> str:
    rows = []
    for found in image.maps:
        pictures = "".join(
            picture(sequential(values), f"channel {channel} of {found.layer}", "map")
            for channel, values in zip(found.channels, found.maps, strict=True)
        )
        size = " \u00d7 ".join(map(str, found.maps.shape[1:]))
        rows.append(
            figure(
                f'<div class="row tight">{pictures}</div>',
                f"{found.layer}: channels {', '.join(map(str, found.channels))} of "
                f"{found.total}, {size}",
            )
        )
    return "".join(rows)


def features(data: Exploration) -> str:
    """Own rows as strips, all rows as a heat map, and the spectrum."""
    first = data.matrices[0]
    content = for_each_own(data, lambda index: _strip(first.rows[index], "feature"))
    return content + _pair(
        _heat(first.rows, f"{_size(first.rows)} numbers, {first.name}"),
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
        _heat(matrix.rows, f"{_size(matrix.rows)} numbers, {matrix.name}")
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
        data, lambda index: _strip(data.matrices[-1].rows[index], "row that is clustered")
    )
    return own + _pair(*heats, chart)


def _strip(vector: NDArray[Any], what: str) -> str:
    rows = strip(vector)
    return figure(
        picture(diverging(rows), what, "strip"),
        f"The {what}: {len(vector)} numbers from {vector.min():.3g} to {vector.max():.3g}.",
    )


def _heat(rows: NDArray[Any], caption: str) -> str:
    return figure(picture(diverging(thinned(rows)), caption, "heat"), caption)


def _size(rows: NDArray[Any]) -> str:
    return f"{rows.shape[0]} \u00d7 {rows.shape[1]}"


def _pair(*parts: str) -> str:
    return f'<div class="pair">{"".join(parts)}</div>'


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
    parts.append(_heat((rows - rows.mean(axis=0))[order], words))
    return _pair(*parts) + _clusters(data)


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
        return _pair(
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
    return _pair(*parts)


def training_step(data: Exploration) -> str:
    """Losses, the batch, and the probabilities of the own images."""
    step = data.step
    rows = [
        ("loss before the step", step.loss_before),
        ("loss after it, same batch", step.loss_after),
    ]
    rows += [(f"{name} before", value) for name, value in step.losses.items() if name != "loss"]
    rows += [("a guess", step.chance)]
    body = "".join(f"<tr><td>{n}</td><td class=number>{v:.4f}</td></tr>" for n, v in rows)
    up = int((step.after > step.before).sum())
    table = figure(
        f"<table>{body}</table>",
        f"The target became more probable for {up} of {len(step.samples)} images; on average "
        f"{step.before.mean():.4f} before and {step.after.mean():.4f} after the step.",
    )
    number = len(step.samples)
    order = np.argsort(-step.before, kind="stable")
    chance = float(np.exp(-step.chance))
    chart = bar_chart(
        {"before": step.before[order].tolist(), "after": step.after[order].tolist()},
        "image of the batch, by probability",
        "probability of target",
        reference=("chance", chance),
        names=[f"image {int(step.samples[n])}" for n in order],
    )
    pair = _pair(table, figure(chart, f"All {number} images of the batch."))
    return pair + for_each_own(data, lambda index: _own_step(data, index)) + _batch(data)


def _own_step(data: Exploration, index: int) -> str:
    step, target = data.step, int(data.step.targets[index])
    chart = bar_chart(
        {"before": step.own_before[index].tolist(), "after": step.own_after[index].tolist()},
        "cluster",
        "probability",
        reference=("chance", float(np.exp(-step.chance))),
    )
    turned = ""
    if step.rotations is not None:
        turned = f" together with the turn by {90 * int(step.rotations[index])}\u00b0"
    words = (
        f"Probability of each cluster{turned}. The target is {target}: {step.before[index]:.4f} "
        f"before and {step.after[index]:.4f} after the step."
    )
    view = figure(picture(step.pictures[index], "as drawn", "view"), "As it was drawn.")
    return _pair(figure(chart, words), view)


def _batch(data: Exploration) -> str:
    step = data.step
    items = [
        f"<li>{picture(pixels, f'image {sample}', 'view')}<small>cluster {target}<br>"
        f"{before:.3f} \u2192 {after:.3f}</small></li>"
        for pixels, sample, target, before, after in list(
            zip(step.pictures, step.samples, step.targets, step.before, step.after, strict=True)
        )[:24]
    ]
    words = "Images of the batch as they were drawn, their target, and its probability."
    if len(step.samples) > 24:
        words = f"The first 24 of {len(step.samples)} i{words[1:]}"
    return figure(f'<ul class="batch">{"".join(items)}</ul>', words)


def memory(data: Exploration) -> str:
    """Row, feature and row, and the distances that the new row has to the centroids."""
    found = data.memory
    assert found is not None

    def make(index: int) -> str:
        visit = found.visits[index]
        vectors = (("row before", visit.row_before), ("feature", visit.feature))
        limit = float(max(np.abs(v).max() for v in (visit.row_before, visit.feature)))
        items = "".join(
            figure(picture(diverging(strip(v), limit), name, "strip"), name)
            for name, v in (*vectors, ("row after", visit.row_after))
        )
        cosine = [_cosine(visit.feature, row) for row in (visit.row_before, visit.row_after)]
        chart = bar_chart(
            {"distance": visit.distances.tolist()},
            "cluster",
            "distance",
            marked=visit.label_after,
        )
        moved = (
            f"Label {visit.label_before}, as before."
            if visit.label_before == visit.label_after
            else f"Label {visit.label_before} became {visit.label_after}."
        )
        words = (
            f"Distance of the new row to each centroid. {moved} The cosine of row and feature was "
            f"{cosine[0]:.3f} and is {cosine[1]:.3f}."
        )
        return items + figure(chart, words)

    return for_each_own(data, make)


def _cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / max(length, 1e-12)


def next_cycle(data: Exploration) -> str:
    """Losses, agreement of old and new clusters, and images that changed."""
    found, old = data.next_cycle, data.clustering.labels
    chart = line_chart(
        {"loss": found.losses}, "step", "loss", reference=("a guess", data.step.chance)
    )
    parts = [figure(chart, "Loss of each step.")]
    if found.change_ratios:
        ratio = line_chart({"change ratio": found.change_ratios}, "step", "change ratio")
        parts.append(figure(ratio, "Share of the batch whose label changed."))
    share = found.overlap / np.maximum(found.overlap.sum(axis=1, keepdims=True), 1)
    parts.append(
        figure(
            picture(sequential(share), "overlap of old and new clusters", "heat square"),
            "Overlap: a row is an old cluster, a column a new one, bright where its images went.",
        )
    )
    changed = np.flatnonzero(found.labels != old)
    items = [thumb(data, int(n), f"{old[n]} \u2192 {found.labels[n]}") for n in changed[:_CHANGED]]
    rest = "" if len(changed) <= _CHANGED else f", the first {_CHANGED} of them"
    words = f"{len(changed)} images changed{rest}." if len(changed) else "No image changed."
    own = for_each_own(data, lambda n: f"<p>Cluster {old[n]} \u2192 {found.labels[n]}.</p>")
    return _pair(*parts) + own + figure(thumbs(items), words)
