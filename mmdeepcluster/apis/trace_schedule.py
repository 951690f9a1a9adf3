"""Learning rates and momenta of a training that is not made: its optimizer and its schedulers."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from numpy.typing import NDArray
from torch import nn

from mmdeepcluster.apis.unopened import build_unallocated, sized_config
from mmdeepcluster.engine import ConfigError, write_atomically
from mmdeepcluster.registry import PARAM_SCHEDULERS
from mmdeepcluster.visualization import Curve, draw_curves

PARAMETERS = ("lr", "momentum", "wd")
# Of longer trainings not every iteration is kept, unless something changed by a hundredth.
_MAX_ROWS = 5000
_CHANGE = 0.01


@dataclass(frozen=True)
class Schedule:
    """What an optimizer is set to, iteration by iteration.

    Attributes:
        iterations: Which iterations (n,), counted from 1 as in the logs.
        values: By parameter what it is then, fp64 (n, G).
        groups: What the G groups of parameters are.
        epoch_length: Iterations of an epoch.
        max_epochs: Epochs.
        scale: What ``auto_scale_lr`` multiplied the rates by; 1 where it is not on.
    """

    iterations: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    groups: tuple[str, ...]
    epoch_length: int
    max_epochs: int
    scale: float

    def as_csv(self) -> str:
        """A row for each of the iterations."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [f"{name}[{group}]" for name in self.values for group in self.groups]
        writer.writerow(["iteration", "epoch", *names])
        for row, iteration in enumerate(self.iterations.tolist()):
            epoch = (iteration - 1) // self.epoch_length + 1
            numbers = [repr(float(v)) for values in self.values.values() for v in values[row]]
            writer.writerow([iteration, epoch, *numbers])
        return text.getvalue()

    def distinct(self, values: NDArray[np.float64]) -> list[tuple[str, NDArray[np.float64]]]:
        """Groups that have the same values (n,) all the time, by their names."""
        found: dict[bytes, tuple[list[str], NDArray[np.float64]]] = {}
        for group, column in zip(self.groups, values.T, strict=True):
            found.setdefault(column.tobytes(), ([], column))[0].append(group)
        return [(", ".join(names), column) for names, column in found.values()]

    def __str__(self) -> str:
        total = self.epoch_length * self.max_epochs
        lines = [f"{self.max_epochs} epochs of {self.epoch_length} iterations, {total:,} in all"]
        if self.scale != 1:
            lines.append(f"auto_scale_lr: learning rates times {self.scale:g}")
        for name, values in self.values.items():
            for groups, column in self.distinct(values):
                low, high = column.min(), column.max()
                text = (
                    f"{column[0]:.6g} at first, {column[-1]:.6g} at last, {low:.6g} to {high:.6g}"
                )
                if low == high:
                    text = f"{low:.6g} throughout"
                lines.append(f"{name} of {groups}: {text}")
        return "\n".join(lines)


def trace_schedule(
    config: str | Path | Config,
    parameters: Sequence[str] = ("lr",),
    *,
    options: Mapping[str, Any] | None = None,
    dataset_size: int | None = None,
    num_processes: int = 1,
    auto_scale_lr: bool = False,
) -> Schedule:
    """Lets MMEngine's schedulers run through a training, without data and without a network.

    Args:
        config: Config file or config.
        parameters: Out of ``lr``, ``momentum`` and ``wd``.
        options: What ``--cfg-options`` would set, with dotted keys.
        dataset_size: Number of images. Defaults to that of the data set, which is opened for it.
        num_processes: Processes that train together.
        auto_scale_lr: As of ``tools/train.py``.

    Raises:
        ConfigError: The config cannot be used, or has no such parameter.
    """
    unknown = [name for name in parameters if name not in PARAMETERS]
    if unknown or not parameters:
        raise ConfigError(f"--param must be among {', '.join(PARAMETERS)}, got {unknown}")
    if num_processes < 1:
        raise ConfigError(f"--ngpus must be at least 1, got {num_processes}")
    cfg, number = sized_config(config, options, dataset_size)
    batch_size = _written(cfg, "train_dataloader", "batch_size")
    length = math.ceil(math.ceil(number / num_processes) / batch_size)
    max_epochs = _written(cfg, "train_cfg", "max_epochs")
    network = build_unallocated(cfg)
    try:
        wrapper = build_optim_wrapper(network, cfg.optim_wrapper)
        scale = _scale(cfg, batch_size * num_processes, auto_scale_lr)
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= scale
        schedulers = _schedulers(cfg, wrapper, length, max_epochs)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"optim_wrapper or param_scheduler: {error}") from error
    groups = wrapper.optimizer.param_groups
    rows = list(_rows(groups, schedulers, tuple(parameters), length, max_epochs))
    return Schedule(
        iterations=np.array([row[0] for row in rows]),
        values={
            name: np.array([row[1][number] for row in rows])
            for number, name in enumerate(parameters)
        },
        groups=tuple(_group_names(network, groups)),
        epoch_length=length,
        max_epochs=max_epochs,
        scale=scale,
    )


def _written(cfg: Config, part: str, key: str) -> int:
    value = (cfg.get(part) or {}).get(key)
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{part}.{key} must be at least 1, got {value!r}")
    return value


def _scale(cfg: Config, batch_size: int, asked: bool) -> float:
    """As the runner does it (arXiv 1706.02677)."""
    settings = cfg.get("auto_scale_lr") or {}
    if not asked and not settings.get("enable", False):
        return 1.0
    if "base_batch_size" not in settings:
        raise ConfigError("--auto-scale-lr: the config has no auto_scale_lr.base_batch_size")
    return float(batch_size / settings["base_batch_size"])


def _schedulers(cfg: Config, wrapper: Any, length: int, max_epochs: int) -> list[Any]:
    """As MMEngine's runner builds them: they end with the training unless they say otherwise."""
    wanted = cfg.get("param_scheduler") or []
    built = []
    for scheduler in [wanted] if isinstance(wanted, Mapping) else wanted:
        end = max_epochs if scheduler.get("by_epoch", True) else max_epochs * length
        given = {"end": end, **scheduler}
        defaults = {"optimizer": wrapper, "epoch_length": length}
        built.append(PARAM_SCHEDULERS.build(given, default_args=defaults))
    return built


def _rows(
    groups: Sequence[Mapping[str, Any]],
    schedulers: Sequence[Any],
    parameters: tuple[str, ...],
    length: int,
    max_epochs: int,
) -> Iterator[tuple[int, list[list[float]]]]:
    """Iterations, and the values of each parameter in each group then."""
    by_epoch = [scheduler for scheduler in schedulers if scheduler.by_epoch]
    by_iteration = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
    total = length * max_epochs
    every = max(1, total // _MAX_ROWS)
    kept: list[list[float]] = []
    with warnings.catch_warnings():
        # No step of the optimizer is made, which torch would take for a mistake.
        warnings.filterwarnings("ignore", message="Detected call of")
        for epoch in range(max_epochs):
            for batch in range(length) if by_iteration else (0,):
                iteration = epoch * length + batch + 1
                values = [[_value(group, name) for group in groups] for name in parameters]
                last = iteration == total
                if batch == 0 or last or iteration % every == 0 or _differ(kept, values):
                    kept = values
                    yield iteration, values
                for scheduler in by_iteration:
                    scheduler.step()
            if not by_iteration and epoch + 1 == max_epochs and length > 1:
                yield total, kept
            for scheduler in by_epoch:
                scheduler.step()


def _differ(before: list[list[float]], now: list[list[float]]) -> bool:
    pairs = zip(chain(*before), chain(*now), strict=True)
    return any(abs(old - new) > _CHANGE * max(abs(old), abs(new)) for old, new in pairs)


def _value(group: Mapping[str, Any], name: str) -> float:
    if name == "wd":
        name = "weight_decay"
    if name == "momentum" and "betas" in group:  # Adam's; MMEngine schedules it by this name too
        return float(group["betas"][0])
    if name not in group:
        raise ConfigError(
            f"--param {name}: optim_wrapper.optimizer has no such setting; it has "
            f"{', '.join(sorted(set(group) - {'params'}))}"
        )
    return float(group[name])


def _group_names(network: nn.Module, groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The modules of each group; with how much of it, where a group has a part of one."""
    owners = {id(p): name.split(".")[0] for name, p in network.named_parameters()}
    sizes = _counted(owners.values())
    for group in groups:
        found = _counted(owners[id(parameter)] for parameter in group["params"])
        yield " + ".join(
            name if count == sizes[name] else f"{name} ({count} of {sizes[name]} tensors)"
            for name, count in found.items()
        )


def _counted(names: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def write_schedule(
    schedule: Schedule,
    out: str | Path,
    *,
    title: str | None = None,
    style: str = "default",
    size: tuple[float, float] | None = None,
) -> list[Path]:
    """Draws a schedule over epochs, and writes it as CSV beside the picture.

    Returns:
        The files; the picture only with matplotlib.

    Raises:
        ConfigError: The file has no extension that matplotlib writes.
    """
    picture = Path(out)
    table = picture.with_suffix(".csv")
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(table, schedule.as_csv())
    # A setting holds from the start of its iteration to the end of it.
    x = [*((schedule.iterations - 1) / schedule.epoch_length).tolist(), schedule.max_epochs]
    panels = {
        name: [
            Curve(x, [*column.tolist(), float(column[-1])], groups, number)
            for number, (groups, column) in enumerate(schedule.distinct(values))
        ]
        for name, values in schedule.values.items()
    }
    try:
        drawn = draw_curves(picture, panels, "epoch", title, style=style, size=size, joined="steps")
    except (ValueError, OSError) as error:
        raise ConfigError(f"--out {out}, --style {style}: {error}") from error
    return [picture, table] if drawn else [table]
