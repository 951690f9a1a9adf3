"""From what the user wrote to what is run: the data set first, then every refusal.

MMEngine builds and wraps the model before the data set, so N is unknown when K would have to be
chosen or refused. Here the data set is built first; its size gives the numbers that the model
needs, which are written into the config as plain values.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine.auto_defaults import (
    MIN_SAMPLES,
    MIN_SAMPLES_PER_CLUSTER,
    auto_min_cluster_size,
    auto_num_clusters,
)
from mmdeepcluster.engine.config_schema import check_config, check_option_roots
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.registry import ALGORITHMS, DATASETS, MEMORIES, SCOPE, find_component

AUTO = "auto"
_DIM = "model.feature_transform.dim"


@dataclass(frozen=True)
class ResolvedConfig:
    """A config in which every number stands, and the data set that they came from.

    Attributes:
        cfg: The config; resolving it again changes nothing.
        dataset: The images to cluster.
    """

    cfg: Config
    dataset: BaseImageDataset


def resolve_config(
    config: str | Path | Config, options: Mapping[str, Any] | None = None
) -> ResolvedConfig:
    """Merges options, refuses what cannot be run, and writes N, K and sizes as plain numbers.

    Args:
        config: File or config.
        options: ``--cfg-options`` as a dict with dotted keys.

    Returns:
        The resolved config with its data set.

    Raises:
        ConfigError: One line that names the key, what was found, and the remedy.
    """
    options = dict(options or {})
    cfg, replaced = _prepare(config, options)
    dataset = build_dataset(cfg.dataset)
    _resolve_sizes(cfg, len(dataset), options, replaced)
    return ResolvedConfig(cfg, dataset)


def resolve_for(
    cfg: Config, dataset: BaseImageDataset, options: Mapping[str, Any] | None = None
) -> ResolvedConfig:
    """A prepared config for other images than its own, such as a sample of them.

    Sizes that do not suit their number become ``'auto'``, as with ``data_root``.

    Args:
        cfg: What :func:`prepare_config` returned; it is not changed.
        dataset: The images.
        options: As there. The sizes among them are kept.

    Raises:
        ConfigError: If sizes do not fit the images.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.pop("num_samples", None)
    _resolve_sizes(cfg, len(dataset), dict(options or {}), replaced=True)
    return ResolvedConfig(cfg, dataset)


def resolve_for_size(
    config: str | Path | Config, options: Mapping[str, Any] | None, num_samples: int
) -> Config:
    """The config that :func:`resolve_config` makes of so many images; opens no data set.

    Raises:
        ConfigError: As there.
    """
    options = dict(options or {})
    cfg, replaced = _prepare(config, options)
    _resolve_sizes(cfg, num_samples, options, replaced)
    return cfg


def _resolve_sizes(cfg: Config, num_samples: int, options: dict[str, Any], replaced: bool) -> None:
    if replaced:
        _use_auto_sizes(cfg, num_samples, options)
    _write_sizes(cfg, num_samples)


def prepare_config(config: str | Path | Config, options: Mapping[str, Any] | None = None) -> Config:
    """Merges options and refuses unknown keys, as :func:`resolve_config`; opens no data set.

    Raises:
        ConfigError: As there.
    """
    return _prepare(config, dict(options or {}))[0]


def _prepare(config: str | Path | Config, options: dict[str, Any]) -> tuple[Config, bool]:
    """The config with its options, checked, and whether ``data_root`` replaced its images."""
    cfg = load_config(config)
    check_option_roots(options, cfg)
    merge_options(cfg, options)
    _import_custom_modules(cfg)
    init_default_scope(cfg.get("default_scope", SCOPE))
    _expand_vis_backends(cfg)
    replaced = _apply_data_root(cfg, options)
    check_config(cfg)
    return cfg, replaced


def _import_custom_modules(cfg: Config) -> None:
    """Imports ``custom_imports``; MMEngine does so for what stands in a file, not for options."""
    wanted = cfg.get("custom_imports")
    if not wanted:
        return
    try:
        import_modules_from_strings(**wanted)
    except (TypeError, ImportError) as error:
        raise ConfigError(f"custom_imports: {error}") from error


def load_config(config: str | Path | Config) -> Config:
    """Reads a config file, or copies a config.

    Raises:
        ConfigError: If the file does not exist or cannot be read.
    """
    if isinstance(config, Config):
        return copy.deepcopy(config)
    if not Path(config).is_file():
        raise ConfigError(f"config file {config} does not exist")
    try:
        return Config.fromfile(config)
    except Exception as error:  # whatever the code in a config file raises
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"config file {config} cannot be read: {type(error).__name__}: {reason}"
        ) from error


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Puts ``--cfg-options`` into a config; a part that is None there may be given keys.

    Raises:
        ConfigError: If an option goes below a key that holds a plain value.
    """
    for option in options:
        part: Any = cfg
        *parents, _ = option.split(".")
        for key in parents:
            if not hasattr(part, "get"):
                break
            if key in part and part[key] is None:
                part[key] = {}
            part = part.get(key)
    try:
        cfg.merge_from_dict(dict(options))
    except (TypeError, KeyError) as error:
        raise ConfigError(f"--cfg-options {', '.join(options)}: {error}") from error


def build_dataset(config: Mapping[str, Any]) -> BaseImageDataset:
    """Builds the data set; what is wrong with it becomes a :class:`ConfigError`."""
    try:
        return DATASETS.build(dict(config))
    except (ValueError, OSError, TypeError, ImportError) as error:
        raise ConfigError(str(error)) from error


def _expand_vis_backends(cfg: Config) -> None:
    """Lets names stand for back ends, which is all that fits on a command line."""
    backends = cfg.get("vis_backends")
    if backends is not None:
        cfg.vis_backends = [
            {"type": backend} if isinstance(backend, str) else backend for backend in backends
        ]


def _apply_data_root(cfg: Config, options: Mapping[str, Any]) -> bool:
    """Lets a folder replace the images of the config: training, clustering and test."""
    folder = cfg.get("data_root")
    if folder is None:
        return False
    # `dataset.cache.dir` gives a part of `dataset.cache`, which the options were merged into.
    parts = [key.split(".")[1] for key in options if key.startswith("dataset.")]
    given = {part: cfg.dataset[part] for part in parts}
    cfg.dataset = {"type": "ImageFolder", "root": str(folder), **given}
    cfg.data_root = None
    without = {"test_split": None, "probe_layer": None}  # there are no test images
    cfg.evaluation = {**(cfg.get("evaluation") or {}), **without}
    if "model" in cfg:
        cfg.model.pop("num_samples", None)
    return True


def _use_auto_sizes(cfg: Config, num_samples: int, options: Mapping[str, Any]) -> None:
    """Sizes configured for another data set become 'auto' when this one is too small for them."""
    model = cfg.model
    transform = model.get("feature_transform")
    if transform and transform.get("dim", 0) >= num_samples and _DIM not in options:
        transform.dim = num_samples // 2
        print_log(f"{_DIM}: {transform.dim} (auto, from {num_samples} images)", "current")
    configured = model.get("num_clusters", AUTO)
    if configured != AUTO and num_samples >= MIN_SAMPLES_PER_CLUSTER * configured:
        return
    if "model.num_clusters" not in options:
        model.num_clusters = AUTO
    if "memory" in model and "model.memory.min_cluster_size" not in options:
        model.memory.pop("min_cluster_size", None)


def _write_sizes(cfg: Config, num_samples: int) -> None:
    """Decides K and ``min_cluster_size`` and writes them with N into the model."""
    if num_samples < MIN_SAMPLES:
        raise ConfigError(
            f"the data set has {num_samples} images, at least {MIN_SAMPLES} are needed: "
            "give a folder with more images (data_root)"
        )
    model = cfg.model
    written = model.get("num_samples")
    if written is not None and written != num_samples:
        raise ConfigError(
            f"model.num_samples is {written} but the data set has {num_samples} images: "
            "leave it out, it is derived"
        )
    model.num_samples = num_samples
    model.num_clusters = _num_clusters(model, num_samples)
    if "memory" in model and _takes_min_cluster_size(model.memory):
        size = model.memory.get("min_cluster_size", AUTO)
        model.memory.min_cluster_size = _min_cluster_size(size, model.num_clusters, num_samples)


def _takes_min_cluster_size(memory: Mapping[str, Any]) -> bool:
    cls = find_component(MEMORIES, memory["type"])
    return "min_cluster_size" in inspect.signature(cls).parameters


def _num_clusters(model: Mapping[str, Any], num_samples: int) -> int:
    auto = auto_num_clusters(num_samples)
    # A whole number of clusters in each super-cluster.
    auto -= auto % model.get("num_super_clusters", 1)
    value = model.get("num_clusters", AUTO)
    if value == AUTO:
        print_log(f"model.num_clusters: {auto} (auto, from {num_samples} images)", "current")
        value = auto
    least = find_component(ALGORITHMS, model["type"]).min_clusters
    if not isinstance(value, int) or value < least:
        raise ConfigError(
            f"model.num_clusters must be 'auto' or an integer >= {least}, got {value!r}"
        )
    if value > num_samples:
        raise ConfigError(
            f"model.num_clusters={value} exceeds the {num_samples} images of the data set: lower "
            f"it or use 'auto' ({auto})"
        )
    # No warning where there is no better number to offer.
    if num_samples < MIN_SAMPLES_PER_CLUSTER * value and auto < value:
        print_log(
            f"model.num_clusters={value} leaves {num_samples / value:.1f} images a cluster, fewer "
            f"than {MIN_SAMPLES_PER_CLUSTER}; 'auto' would take {auto}",
            "current",
            logging.WARNING,
        )
    return value


def _min_cluster_size(value: Any, num_clusters: int, num_samples: int) -> int:
    if value == AUTO:
        value = auto_min_cluster_size(num_samples, num_clusters)
        print_log(f"model.memory.min_cluster_size: {value} (auto)", "current")
    if not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"model.memory.min_cluster_size must be 'auto' or an integer >= 1, got {value!r}"
        )
    product = f"model.num_clusters={num_clusters} x model.memory.min_cluster_size={value}"
    needed = value * num_clusters
    if needed > num_samples:
        raise ConfigError(
            f"{product} = {needed} exceeds the {num_samples} images of the data set: "
            "lower one of them"
        )
    if needed > 0.5 * num_samples:
        print_log(
            f"{product} is {needed / num_samples:.0%} of the {num_samples} images: clusters will "
            "be dissolved all the time; lower one of them",
            "current",
            logging.WARNING,
        )
    return value
