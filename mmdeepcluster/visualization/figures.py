"""Figures as PNG files, by matplotlib, an optional dependency."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A legend of more names than this says nothing, and there are no more distinct colours.
_MAX_NAMED = 20


def histograms(
    path: str | Path, samples: Mapping[str, Sequence[float]], xlabel: str, title: str
) -> bool:
    """Draws one histogram per sample, with its median.

    Args:
        path: PNG file to write.
        samples: Numbers by name.
        xlabel: What the numbers are.
        title: Title.

    Returns:
        Whether it was drawn: not without matplotlib.
    """
    figure = _figure(6.4, 1.0 + 1.8 * len(samples))
    if figure is None:
        return False
    axes = figure.subplots(len(samples), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, samples.items(), strict=True):
        axis.hist(values, bins=min(20, max(5, len(values) // 3)))
        median = statistics.median(values)
        axis.axvline(median, color="black", linestyle="--", label=f"median {median:.4f}")
        axis.set_ylabel("seeds")
        axis.set_title(name, fontsize="medium")
        axis.legend(loc="upper right")
    axes[-1].set_xlabel(xlabel)
    _save(figure, path, title)
    return True


def points(
    path: str | Path,
    series: Mapping[str, Sequence[tuple[Any, float]]],
    xlabel: str,
    ylabel: str,
    title: str,
    joined: bool = True,
) -> bool:
    """Draws y over x for each series; x that are no numbers get a place each, in order.

    Args:
        path: PNG file to write.
        series: Points (x, y) by name.
        xlabel: What x is.
        ylabel: What y is.
        title: Title.
        joined: Whether a line joins the points of a series, in their order.

    Returns:
        Whether it was drawn: not without matplotlib.
    """
    figure = _figure(6.4, 4.4)
    if figure is None:
        return False
    axis = figure.subplots()
    xs = [x for values in series.values() for x, _ in values]
    numeric = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in xs)
    places: dict[Any, Any] = {x: x for x in xs}
    if not numeric:
        places = {x: place for place, x in enumerate(dict.fromkeys(xs))}
        axis.set_xticks(list(places.values()), [str(x) for x in places])
    elif min(xs) > 0 and max(xs) > 30 * min(xs):
        axis.set_xscale("log")
    style = "o-" if joined else "o"
    for name, values in series.items():
        axis.plot([places[x] for x, _ in values], [y for _, y in values], style, label=name)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    if len(series) > 1:
        axis.legend()
    _save(figure, path, title)
    return True


def scatter(
    path: str | Path,
    positions: NDArray[Any],
    groups: NDArray[np.int64],
    title: str,
    names: Sequence[str] | None = None,
) -> bool:
    """Draws points of a plane without axes, coloured by group.

    Up to 20 groups have a legend; the colours of more follow their numbers.

    Args:
        path: PNG file to write.
        positions: Points (n, 2).
        groups: Group (n,) of each, from 0 on; points of -1, no group, are grey.
        title: Title.
        names: Name of each group. Defaults to their numbers.

    Returns:
        Whether it was drawn: not without matplotlib.
    """
    figure = _figure(7.2, 6.0)
    if figure is None:
        return False
    axis = figure.subplots()
    axis.set_axis_off()
    known = groups >= 0
    size = 12 if len(groups) <= 5000 else 3
    axis.scatter(*positions[~known].T, s=size, color="0.5")
    found = np.unique(groups[known])
    if len(found) > _MAX_NAMED:
        axis.scatter(*positions[known].T, s=size, c=groups[known], cmap="turbo")
    else:
        palette = _palette("tab10" if len(found) <= 10 else "tab20")
        for colour, group in zip(palette, found, strict=False):
            name = str(group) if names is None else names[group]
            axis.scatter(*positions[groups == group].T, s=size, color=colour, label=name)
    if 0 < len(found) <= _MAX_NAMED:
        figure.legend(loc="outside right upper", fontsize="small", markerscale=2)
    _save(figure, path, title)
    return True


def _palette(name: str) -> Sequence[Any]:
    from matplotlib import colormaps

    return colormaps[name].colors  # type: ignore[attr-defined]


def _figure(width: float, height: float) -> Any:
    """An empty figure that no window belongs to, or None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: str | Path, title: str) -> None:
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
