"""Figures of the stages of training, as HTML."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.visualization.exploration import Exploration
from mmdeepcluster.visualization.explore_charts import bar_chart, line_chart
from mmdeepcluster.visualization.explore_parts import (
    figure,
    for_each_own,
    picture,
    side_by_side,
    thumb,
    thumbs,
)
from mmdeepcluster.visualization.explore_pictures import diverging, sequential, strip

_CHANGED = 18


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
    pair = side_by_side(table, figure(chart, f"All {number} images of the batch."))
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
    return side_by_side(figure(chart, words), view)


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
    return side_by_side(*parts) + own + figure(thumbs(items), words)
