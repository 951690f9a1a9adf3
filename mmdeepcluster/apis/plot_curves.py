"""Curves of one run or several in one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdeepcluster.apis.run_history import read_scalars
from mmdeepcluster.engine import ConfigError, did_you_mean
from mmdeepcluster.visualization import Curve, draw_curves, style_names
from mmdeepcluster.visualization.curve_panels import Curve as Series
from mmdeepcluster.visualization.curve_panels import counts_epochs

AXES = ("iter", "epoch")
# MMEngine logs the scalars of an iteration without what their names begin with in the hub.
_HUB_PREFIX = "train/"


def plot_curves(
    runs: Sequence[str | Path],
    keys: Sequence[str],
    out: str | Path,
    *,
    legend: Sequence[str] | None = None,
    title: str | None = None,
    smooth: int = 1,
    style: str = "default",
    size: tuple[float, float] | None = None,
    axis: str | None = None,
) -> list[str]:
    """Draws the curves of runs, a panel for each key, a colour for each run (R54).

    Args:
        runs: Work dirs, or files ``scalars.json``.
        keys: What to draw; ``train/loss`` is ``loss``.
        out: Picture to write (.png, .pdf, .svg, ...).
        legend: A name for each run, or for each run and key (all keys of the first run, then those
            of the second ...). Defaults to the names of the folders.
        title: Title of the figure.
        smooth: Logged values that are averaged. Defaults to 1, none.
        style: Style of matplotlib.
        size: Width and height in inches.
        axis: ``iter`` or ``epoch``. Defaults to epochs where a key counts them, else iterations.

    Returns:
        Lines that say which key a run does not have.

    Raises:
        ConfigError: No run has a key (those there are, are named), or an option cannot be used.
    """
    if smooth < 1:
        raise ConfigError(f"--smooth must be at least 1, got {smooth}")
    if axis not in (None, *AXES):
        raise ConfigError(f"--axis must be one of {', '.join(AXES)}, got {axis!r}")
    names = _legend(runs, keys, legend)
    found = [read_scalars(run) for run in runs]
    wanted = {key: [_key_of(key, scalars) for scalars in found] for key in keys}
    notes = _missing(wanted, runs, found)
    axis = axis or ("epoch" if any(counts_epochs(key) for key in keys) else "iter")
    panels: dict[str, list[Curve]] = {}
    for column, (key, own) in enumerate(wanted.items()):
        for run, (scalars, name) in enumerate(zip(found, own, strict=True)):
            if name is None:
                continue
            x = _positions(scalars, name, axis, runs[run])
            text = names[run * len(keys) + column]
            panels.setdefault(key, []).append(Curve(x, scalars[name][1], text, run))
    if style not in (known := style_names()):
        if not known:
            raise ConfigError("figures need matplotlib: pip install matplotlib")
        raise ConfigError(f"--style {style}: no such style, {did_you_mean(style, known)}")
    xlabel = "epoch" if axis == "epoch" else "iteration"
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    try:
        draw_curves(out, panels, xlabel, title, smooth, style, size)
    except ValueError as error:
        raise ConfigError(f"--out {out}: {error}") from error
    return notes


def epoch_length(scalars: Mapping[str, Series]) -> int | None:
    """Iterations of an epoch, from which iteration lies in which epoch; None where unknown.

    Raises:
        ValueError: No one number fits: the run went on with other batches.
    """
    steps, epochs = scalars.get("epoch", ([], []))
    # Iteration i of epoch e means (e - 1) L < i <= e L.
    least = max((step / epoch for step, epoch in zip(steps, epochs, strict=True)), default=None)
    if least is None:
        return None
    length = math.ceil(least)
    if any(step <= (epoch - 1) * length for step, epoch in zip(steps, epochs, strict=True)):
        raise ValueError("epochs of different lengths")
    return length


def _key_of(key: str, scalars: Mapping[str, Series]) -> str | None:
    """The name that a run has a curve by."""
    short = key.removeprefix(_HUB_PREFIX)
    return next((name for name in (key, short) if name in scalars), None)


def _missing(
    wanted: Mapping[str, Sequence[str | None]],
    runs: Sequence[str | Path],
    found: Sequence[Mapping[str, Series]],
) -> list[str]:
    there = sorted({name for scalars in found for name in scalars} - {"epoch", "iter"})
    notes = []
    for key, own in wanted.items():
        without = [str(run) for run, name in zip(runs, own, strict=True) if name is None]
        if len(without) == len(runs):
            raise ConfigError(
                f"--keys {key}: not in {', '.join(without)}; known: {' '.join(there)}"
            )
        if without:
            notes.append(f"{key}: not in {', '.join(without)}, drawn for the others")
    return notes


def _legend(
    runs: Sequence[str | Path], keys: Sequence[str], legend: Sequence[str] | None
) -> list[str]:
    """A name for each run and key."""
    if legend is None:
        legend = [_run_name(run) for run in runs]
    if len(legend) == len(runs):
        return [name for name in legend for _ in keys]
    if len(legend) != len(runs) * len(keys):
        raise ConfigError(
            f"--legend has {len(legend)} names: give one for each of the {len(runs)} runs, or one "
            f"for each run and key ({len(runs) * len(keys)})"
        )
    return list(legend)


def _run_name(run: str | Path) -> str:
    place = Path(run).resolve()
    # .../<work dir>/<start>/vis_data/scalars.json
    return place.parents[2].name if place.name == "scalars.json" else place.name


def _positions(
    scalars: Mapping[str, Series], key: str, axis: str, run: str | Path
) -> Sequence[float]:
    """Steps of a curve on the axis."""
    steps = scalars[key][0]
    if counts_epochs(key) == (axis == "epoch"):
        return steps
    try:
        length = epoch_length(scalars)
    except ValueError as error:
        raise ConfigError(
            f"{run} has {error} (it was resumed with other batches), so iterations and epochs "
            f"cannot stand on one axis: draw {key} in a figure of its own"
        ) from error
    if length is None:
        raise ConfigError(
            f"{run} does not say how many iterations an epoch has (no iteration was logged), which "
            f"--axis {axis} needs for {key}"
        )
    return [step / length if axis == "epoch" else step * length for step in steps]
