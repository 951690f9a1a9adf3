"""Curves of several runs, a panel for each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Curve:
    """One line of a panel.

    Attributes:
        x: Positions (n,), ascending.
        y: Values (n,).
        name: What the legend says.
        run: Number of the run, which chooses the colour.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str
    run: int = 0


def moving_mean(values: ArrayLike, width: int) -> NDArray[np.float64]:
    """Mean of each value with its neighbours, ``width`` values in all, fewer at the ends.

    Args:
        values: Values (n,).
        width: Odd or even; of an even width the earlier side has one more.

    Returns:
        Means (n,).
    """
    y = np.asarray(values, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    place = np.arange(len(y))
    low = np.maximum(place - width // 2, 0)
    high = np.minimum(place + (width - 1) // 2 + 1, len(y))
    return (sums[high] - sums[low]) / (high - low)


def style_names() -> list[str]:
    """Names of matplotlib's styles; empty without matplotlib."""
    try:
        from matplotlib import style
    except ImportError:
        return []
    return [*style.available, "default"]


def draw_curves(
    path: str | Path,
    panels: Mapping[str, Sequence[Curve]],
    xlabel: str,
    title: str | None = None,
    smooth: int = 1,
    style: str = "default",
    size: tuple[float, float] | None = None,
    joined: str = "line",
) -> bool:
    """Draws curves, a panel beside the other for each quantity.

    Args:
        path: File to write; its extension says the format.
        panels: Curves by quantity.
        xlabel: What x is.
        title: Title above all.
        smooth: Values that are averaged; those that were logged stay visible, pale. 1 for none.
        style: A name out of :func:`style_names`.
        size: Width and height in inches. Defaults to what the panels need.
        joined: ``line``, or ``steps`` for values that hold until the next one.

    Returns:
        Whether it was drawn: not without matplotlib.
    """
    try:
        from matplotlib import rc_context, rcParams
        from matplotlib import style as styles
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with rc_context(), styles.context(style):
        colours = rcParams["axes.prop_cycle"].by_key().get("color", ["C0"])
        figure = Figure(figsize=size or (5.4 * columns + 0.8, 3.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (name, curves) in zip(axes, panels.items(), strict=False):
            for curve in curves:
                _draw(axis, curve, colours[curve.run % len(colours)], smooth, joined)
            axis.set_xlabel(xlabel)
            axis.set_title(name, fontsize="medium")
            axis.grid(alpha=0.3)
            if curves:
                axis.legend(fontsize="small")
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        if title:
            figure.suptitle(title)
        figure.savefig(path, dpi=120)
    return True


def _draw(axis: Any, curve: Curve, colour: Any, smooth: int, joined: str) -> None:
    options: dict[str, Any] = {"color": colour}
    if joined == "steps":
        options["drawstyle"] = "steps-post"
    if len(curve.x) == 1:
        options["marker"] = "o"
    if smooth > 1:
        axis.plot(curve.x, curve.y, alpha=0.25, **options)
        axis.plot(curve.x, moving_mean(curve.y, smooth), label=curve.name, **options)
    else:
        axis.plot(curve.x, curve.y, label=curve.name, **options)
