"""Which scalars of a run belong into one diagram, and how to read it (R54)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# More points than a screen has columns are averaged.
MAX_POINTS = 1500
Curve = tuple[list[int], list[float]]


def _is_loss(name: str) -> bool:
    return name == "loss" or name.startswith("loss_")


def _exactly(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


def _starting(prefix: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefix)


# Title, unit of y, which scalars, how to read it.
_PANELS: tuple[tuple[str, str, Callable[[str], bool], str], ...] = (
    (
        "Loss",
        "nats per image",
        _is_loss,
        "How well the network predicts its own clusters. It may rise when labels move, and a low "
        "loss alone is no good sign: predicting one giant cluster is easy.",
    ),
    (
        "Change ratio",
        "share of labels",
        _exactly("change_ratio"),
        "Share of the images of a batch that got another label. It should fall as clusters settle; "
        "0 from the start means that labels are kept (warm-up) or frozen.",
    ),
    (
        "NMI to the clusters before",
        "NMI",
        _exactly("epoch/nmi_previous"),
        "Agreement with the labels of the epoch (or cycle) before: 1 means that nothing moved.",
    ),
    (
        "Agreement with known classes",
        "score",
        _exactly("epoch/nmi", "epoch/ami"),
        "For evaluation alone; training never sees the classes. NMI rises with the number of "
        "clusters by chance, AMI does not.",
    ),
    (
        "Mixture of the clusters: entropy",
        "nats",
        _exactly("epoch/mean_entropy"),
        "Mean entropy of the classes in a cluster; 0 means pure. It falls as clusters get smaller.",
    ),
    (
        "Mixture of the clusters: noise",
        "share of images",
        _exactly("epoch/mean_noise"),
        "Mean share of a cluster that is outside of its commonest class; 0 means pure.",
    ),
    (
        "Effective clusters",
        "clusters",
        _exactly("epoch/effective_clusters"),
        "exp of the entropy of the sizes: K for equal sizes, 1 for a single cluster. A fall is the "
        "first sign of collapse.",
    ),
    (
        "Smallest and largest cluster",
        "images",
        _exactly("epoch/min_size", "epoch/max_size"),
        "One cluster that grows without end is a collapse on its way.",
    ),
    (
        "Empty clusters",
        "clusters",
        _exactly("epoch/num_empty"),
        "0 at all times: empty clusters are repaired before the head sees them.",
    ),
    (
        "Seconds by phase",
        "seconds",
        _starting("cycle/seconds_"),
        "Where the time of a cycle goes: features, PCA, clustering, training.",
    ),
    (
        "Images per second",
        "images/s",
        _exactly("speed/images_per_second", "cycle/images_per_second"),
        "Of the training and, where clusterings alternate with epochs, of the pass for the "
        "features that are clustered.",
    ),
    (
        "Where the time of training goes",
        "share of time",
        _starting("speed/share_"),
        "step: forward, backward and optimizer; data: waiting for a batch; rest: memory and hooks.",
    ),
    ("Learning rate", "", _exactly("lr"), ""),
)
_NAMES = {"speed/images_per_second": "training", "cycle/images_per_second": "features"}
# Shown in another form, or counters.
_LEFT_OUT = {"epoch", "iter", "base_lr", "epoch/largest_share", "clusters/largest_share"}
_BY_EPOCH = ("epoch/", "cycle/", "speed/")


def curve_panels(
    scalars: Mapping[str, Curve], num_clusters: int | None, num_samples: int | None
) -> list[dict[str, Any]]:
    """Diagrams of what was logged; those without a point are left out.

    Args:
        scalars: Steps and values by name; steps are epochs for ``epoch/``, ``cycle/`` and
            ``speed/``, otherwise iterations.
        num_clusters: K, for lines to compare with, or None.
        num_samples: N, or None.

    Returns:
        ``title``, ``unit``, ``x``, ``hint``, ``main`` (False for what has no diagram of its own
        above), ``marks`` (lines with names) and ``series`` with ``name``, ``steps``, ``values``
        (None where not finite) and ``mean_of``, the logged values that a point is the mean of.
    """
    marks = _marks(num_clusters, num_samples)
    panels, used = [], set(_LEFT_OUT)
    for title, unit, wanted, hint in _PANELS:
        for by_epoch in (False, True):
            names = [name for name in scalars if wanted(name) and counts_epochs(name) == by_epoch]
            used |= set(names)
            if names:
                panels.append(_panel(title, unit, hint, names, scalars, marks.get(title, [])))
    for name in sorted(set(scalars) - used):
        panels.append(_panel(name, "", "", [name], scalars, [], main=False))
    return [panel for panel in panels if any(one["steps"] for one in panel["series"])]


def counts_epochs(name: str) -> bool:
    """Whether the steps of a scalar are epochs; otherwise they are iterations."""
    return name.startswith(_BY_EPOCH)


def _marks(num_clusters: int | None, num_samples: int | None) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    if num_clusters:
        found["Effective clusters"] = [{"value": num_clusters, "name": f"K = {num_clusters}"}]
        if num_samples:
            mean = num_samples / num_clusters
            found["Smallest and largest cluster"] = [
                {"value": mean, "name": f"equal sizes: {mean:.0f}"}
            ]
    return found


def _panel(
    title: str,
    unit: str,
    hint: str,
    names: Sequence[str],
    scalars: Mapping[str, Curve],
    marks: list[dict[str, Any]],
    main: bool = True,
) -> dict[str, Any]:
    return {
        "title": title,
        "unit": unit,
        "x": "epoch" if counts_epochs(names[0]) else "iteration",
        "hint": hint,
        "main": main,
        "marks": marks,
        "series": [{"name": _short(name), **_thinned(*scalars[name])} for name in names],
    }


def _short(name: str) -> str:
    """Name of a curve in its diagram, whose title says the rest."""
    if name in _NAMES:
        return _NAMES[name]
    last = name.rsplit("/", 1)[-1]
    return last.removeprefix("share_").removeprefix("seconds_").replace("_", " ")


def _thinned(steps: list[int], values: list[float]) -> dict[str, Any]:
    """Means of neighbouring points where there are more than can be seen; None where no number."""
    group = max(1, -(-len(steps) // MAX_POINTS))
    kept_steps, kept_values = [], []
    for start in range(0, len(steps), group):
        part = values[start : start + group]
        mean = sum(part) / len(part)
        kept_steps.append(steps[min(start + group, len(steps)) - 1])
        kept_values.append(float(f"{mean:.6g}") if math.isfinite(mean) else None)
    return {"steps": kept_steps, "values": kept_values, "mean_of": group}
