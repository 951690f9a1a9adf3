"""Configs and networks to look at, where no image need be read and no weight be there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdeepcluster.datasets import BaseImageDataset, ImageFileDataset
from mmdeepcluster.engine import (
    ConfigError,
    build_dataset,
    build_on_meta,
    prepare_config,
    resolve_for_size,
    without_weights,
)
from mmdeepcluster.models import BaseAlgorithm
from mmdeepcluster.registry import ALGORITHMS, DATASETS, find_component


def sized_config(
    config: str | Path | Config,
    options: Mapping[str, Any] | None = None,
    dataset_size: int | None = None,
) -> tuple[Config, int]:
    """A config in which every number stands, and how many images there are; none is decoded.

    Args:
        config: Config file or config.
        options: What ``--cfg-options`` would set, with dotted keys.
        dataset_size: Number of images, if the data set shall not be opened at all.

    Raises:
        ConfigError: The config or the data set cannot be used.
    """
    if dataset_size is None:
        dataset_size = len(unopened_dataset(config, options))
    return resolve_for_size(config, options, dataset_size), dataset_size


def unopened_dataset(
    config: str | Path | Config,
    options: Mapping[str, Any] | None,
    all_files: bool = False,
    for_pixels: bool = False,
) -> BaseImageDataset:
    """The data set of a config, of which no file is decoded beforehand.

    Args:
        config: Config file or config.
        options: What ``--cfg-options`` would set, with dotted keys.
        all_files: Whether files that ``unreadable='skip'`` leaves out are wanted too; without,
            they must be found, for which all are decoded.
        for_pixels: Whether images must be those that training sees. A data set with a cache of
            smaller copies is opened as training opens it then.

    Raises:
        ConfigError: The config or the data set cannot be used.
    """
    options = dict(options or {})
    looks = _without_looking(prepare_config(config, options).dataset, "dataset", all_files)
    if not (for_pixels and any(key.endswith(".cache") for key in looks)):
        options |= looks
    return build_dataset(prepare_config(config, options).dataset)


def _without_looking(dataset: Mapping[str, Any], key: str, all_files: bool) -> dict[str, Any]:
    """Options by which a data set of files opens none of them when it is built."""
    found: dict[str, Any] = {}
    kind = find_component(DATASETS, dataset["type"])
    if isinstance(kind, type) and issubclass(kind, ImageFileDataset):
        if all_files or dataset.get("unreadable", "fail") == "fail":
            found[f"{key}.unreadable"] = "trust"
        if dataset.get("cache") is not None:
            found[f"{key}.cache"] = None
    if isinstance(dataset.get("dataset"), Mapping):  # a part of another data set
        found |= _without_looking(dataset["dataset"], f"{key}.dataset", all_files)
    return found


def trusted_dataset(cfg: Config) -> BaseImageDataset:
    """The data set of a prepared config for a few of its images, which are read anyway.

    Files are not all decoded beforehand, unless the config says how to deal with bad ones.

    Raises:
        ConfigError: The data set cannot be used.
    """
    config = dict(cfg.dataset)
    if config["type"] in ("ImageFolder", "ImageList"):
        config = {"unreadable": "trust", **config}
    return build_dataset(config)


def build_unallocated(cfg: Config) -> BaseAlgorithm:
    """The algorithm of a resolved config on the meta device, where it takes no memory.

    Weights are not fetched. A component that computes with numbers while it is built has none
    there; then all are built on the CPU.

    Raises:
        ConfigError: A component refuses its options.
    """
    model = copy.deepcopy(cfg.model.to_dict())
    model = find_component(ALGORITHMS, model["type"]).config_to_use(model)
    try:
        try:
            return build_on_meta(model)
        except (NotImplementedError, RuntimeError):
            algorithm: BaseAlgorithm = ALGORITHMS.build(without_weights(model))
            return algorithm
    except (ValueError, TypeError, KeyError, ImportError) as error:
        raise ConfigError(f"model: {error}") from error
