"""What a sweep will run: a grid of settings, each with a name and a config of its own."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdeepcluster.engine import ConfigError

# Figures of report.json that a table shows; the first that there is goes into the figure.
DEFAULT_MEASURES = ("probe.accuracy", "knn.accuracy", "memory.nmi", "memory.ami", "initial.nmi")
_KEYS = ("config", "grid", "seeds", "fixed", "measures")
_SEED = "randomness.seed"


@dataclass(frozen=True)
class SweepRun:
    """One training.

    Attributes:
        name: Name of its work dir, made of its values.
        settings: Its values of the grid, by dotted key.
        seed: Its seed.
    """

    name: str
    settings: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class SweepPlan:
    """All runs of a sweep file.

    Attributes:
        config: The config that every run starts from.
        grid: Values by dotted key.
        seeds: Seeds.
        fixed: Settings of all runs, by dotted key.
        measures: Figures of ``report.json`` to compare, as dotted keys.
        runs: Every combination of values, with every seed.
    """

    config: Path
    grid: dict[str, list[Any]]
    seeds: list[int]
    fixed: dict[str, Any]
    measures: tuple[str, ...]
    runs: tuple[SweepRun, ...]

    def config_text(self, run: SweepRun) -> str:
        """The config of a run: a file that inherits from :attr:`config`."""
        settings = {**self.fixed, **run.settings, _SEED: run.seed}
        lines = [f"_base_ = [{str(self.config)!r}]"]
        lines += [f"{root} = {value!r}" for root, value in _nested(settings).items()]
        return "\n".join(lines) + "\n"


def load_sweep(path: str | Path) -> SweepPlan:
    """Reads a sweep file, YAML or Python.

    Its keys are ``config`` (path of a config, from the folder of the sweep file), ``grid`` (lists
    of values by dotted key; every combination is run), ``seeds`` (default: the 0 alone), ``fixed``
    (settings of all runs by dotted key) and ``measures`` (figures of ``report.json``). A value may
    be a dict with ``type``; it replaces what the config has there.

    Raises:
        ConfigError: If the file cannot be read or does not say what to run.
    """
    path = Path(path)
    content = _read(path)
    unknown = content.keys() - set(_KEYS)
    if unknown or "config" not in content:
        raise ConfigError(
            f"{path}: a sweep file has the keys {', '.join(_KEYS)}, of which config must be there; "
            f"got {', '.join(sorted(content)) or 'none'}"
        )
    config = (path.parent / str(content["config"])).resolve()
    if not config.is_file():
        raise ConfigError(f"{path}: config {config} does not exist")
    grid = _check_grid(path, content.get("grid") or {})
    fixed = _check_settings(path, "fixed", content.get("fixed") or {})
    clash = (set(grid) & set(fixed)) | ({_SEED} & (set(grid) | set(fixed)))
    if clash:
        raise ConfigError(f"{path}: {sorted(clash)[0]} is set twice; seeds stand under 'seeds'")
    seeds = content.get("seeds") or [0]
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"{path}: seeds must be a list of integers, got {seeds!r}")
    measures = tuple(content.get("measures") or DEFAULT_MEASURES)
    return SweepPlan(config, grid, seeds, fixed, measures, _runs(path, grid, seeds))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"sweep file {path} does not exist")
    try:
        content = Config.fromfile(path).to_dict()
    except Exception as error:  # whatever the code in a Python file raises
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"sweep file {path} cannot be read: {type(error).__name__}: {reason}"
        ) from error
    return dict(content)


def _check_grid(path: Path, grid: Any) -> dict[str, list[Any]]:
    for key, values in _check_settings(path, "grid", grid).items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: grid.{key} must be a list of values, got {values!r}")
    return dict(grid)


def _check_settings(path: Path, name: str, settings: Any) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path}: {name} must map dotted keys to values, got {settings!r}")
    for key in settings:
        if not all(part.isidentifier() for part in str(key).split(".")):
            raise ConfigError(
                f"{path}: {name}.{key} is no dotted key of a config; of a list give the whole"
            )
    return dict(settings)


def _runs(path: Path, grid: Mapping[str, list[Any]], seeds: Sequence[int]) -> tuple[SweepRun, ...]:
    labels = _labels(grid)
    runs = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        parts = [f"{labels[key]}={short(value)}" for key, value in settings.items()]
        for seed in seeds:
            runs.append(SweepRun("_".join([*parts, f"seed={seed}"]), settings, seed))
    names = [run.name for run in runs]
    twice = (
        [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    )
    if twice:
        raise ConfigError(f"{path}: two runs are called {twice[0]}: a value or seed stands twice")
    return tuple(runs)


def _labels(grid: Mapping[str, Any]) -> dict[str, str]:
    """The last part of each key, or more where two end alike."""
    last = [key.rpartition(".")[2] for key in grid]
    return {
        key: name if last.count(name) == 1 else key for key, name in zip(grid, last, strict=True)
    }


def short(value: Any) -> str:
    """A value as part of the name of a folder."""
    if isinstance(value, Mapping):
        text = "-".join(str(part) for part in value.values())
    elif isinstance(value, (list, tuple)):
        text = "-".join(str(part) for part in value)
    else:
        text = str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text)


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested dicts; a dict as value replaces the one of the base config."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        plain = json.loads(json.dumps(value))
        place[last] = {"_delete_": True, **plain} if isinstance(plain, dict) else plain
    return nested
