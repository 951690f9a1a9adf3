"""How long the epochs and iterations of a run took, and what for."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmdeepcluster.apis.run_history import read_scalars, scalar_files
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.visualization.curve_panels import Curve

SHARES = ("step", "data", "rest")
_RATE = "speed/images_per_second"


@dataclass(frozen=True)
class TrainTimes:
    """Times of a run.

    Attributes:
        by_epoch: Mean seconds of an iteration, by epoch.
        iteration: Mean seconds of an iteration.
        waiting: Mean seconds of those that an iteration waited for its batch.
        num_left_out: Logged values that were left out, the first of each start.
        images_per_second: Over all epochs and processes; None where it was not logged.
        shares: Parts of the time of training: ``step`` (forward, backward, optimizer), ``data``
            (waiting for a batch) and ``rest``; empty where they were not logged.
        cycle: Mean seconds of each phase of a clustering; empty without any.
    """

    by_epoch: Mapping[int, float]
    iteration: float
    waiting: float
    num_left_out: int
    images_per_second: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    cycle: Mapping[str, float] = field(default_factory=dict)

    @property
    def slowest(self) -> int:
        """The epoch whose iterations took longest."""
        return max(self.by_epoch, key=lambda epoch: self.by_epoch[epoch])

    @property
    def fastest(self) -> int:
        """The epoch whose iterations took the least time."""
        return min(self.by_epoch, key=lambda epoch: self.by_epoch[epoch])


def train_times(run: str | Path, include_outliers: bool = False) -> TrainTimes:
    """Sums up the times in the log of a run.

    Args:
        run: Work dir, or file ``scalars.json``.
        include_outliers: Count the first logged value of each start too, in which workers are
            started and programs compiled.

    Raises:
        ConfigError: No time was logged, or nothing is left without the first values.
    """
    scalars = read_scalars(run)
    if not {"time", "data_time", "epoch"} <= set(scalars):
        raise ConfigError(f"{run}: no time of an iteration was logged yet")
    starts = [read_scalars(file) for file in scalar_files(run)]
    first = {start["time"][0][0] for start in starts if "time" in start}
    if include_outliers:
        first = set()
    seconds, waited, epochs = (
        dict(zip(*scalars[key], strict=True)) for key in ("time", "data_time", "epoch")
    )
    steps = [step for step in seconds if step not in first]
    if not steps:
        raise ConfigError(
            f"{run}: only {len(seconds)} times were logged, the first of each start; count them "
            "by --include-outliers"
        )
    by_epoch: dict[int, list[float]] = {}
    for step in steps:
        by_epoch.setdefault(int(epochs[step]), []).append(seconds[step])
    return TrainTimes(
        by_epoch={epoch: statistics.fmean(values) for epoch, values in by_epoch.items()},
        iteration=statistics.fmean(seconds[step] for step in steps),
        waiting=statistics.fmean(waited[step] for step in steps),
        num_left_out=len(seconds) - len(steps),
        images_per_second=_rate(scalars),
        shares=_shares(scalars),
        cycle=_cycle(scalars),
    )


def _rate(scalars: Mapping[str, Curve]) -> float | None:
    """Images a second over all epochs, which have equally many."""
    rates = scalars.get(_RATE, ([], []))[1]
    return statistics.harmonic_mean(rates) if rates else None


def _shares(scalars: Mapping[str, Curve]) -> dict[str, float]:
    """Parts of the time of all epochs: one counts by how long it took."""
    durations = [1 / rate for rate in scalars.get(_RATE, ([], []))[1]]
    if not durations:
        return {}
    return {name: statistics.fmean(scalars[f"speed/share_{name}"][1], durations) for name in SHARES}


def _cycle(scalars: Mapping[str, Curve]) -> dict[str, float]:
    prefix = "cycle/seconds_"
    return {
        key.removeprefix(prefix): statistics.fmean(values)
        for key, (_, values) in scalars.items()
        if key.startswith(prefix) and key != f"{prefix}train"
    }


def describe_times(run: str | Path, times: TrainTimes) -> str:
    """The same in words, under a line that OpenMMLab users know."""
    most, least = times.by_epoch[times.slowest], times.by_epoch[times.fastest]
    lines = [
        f"-----Analyze train time of {run}-----",
        f"slowest epoch {times.slowest}, average time is {most:.4f} s/iter",
        f"fastest epoch {times.fastest}, average time is {least:.4f} s/iter",
        f"time std over epochs is {statistics.pstdev(times.by_epoch.values()):.4f}",
        f"average iter time: {times.iteration:.4f} s/iter, waiting for data {times.waiting:.4f}",
    ]
    if times.num_left_out:
        lines.append(
            f"left out: {times.num_left_out} values, the first of each start (--include-outliers)"
        )
    if times.images_per_second is not None:
        lines.append(f"images per second: {times.images_per_second:.1f}")
        text = ", ".join(f"{name} {times.shares[name]:.1%}" for name in SHARES)
        lines.append(f"share of the time: {text}")
    if times.cycle:
        text = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.cycle.items())
        lines.append(f"average clustering: {text}")
    return "\n".join(lines)
