"""Measuring a checkpoint in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device

from mmdeepcluster.engine import (
    ConfigError,
    ResolvedConfig,
    finalize,
    load_algorithm,
    resolve_config,
)
from mmdeepcluster.models import BaseAlgorithm


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Features and clusters of a trained checkpoint in figures.

    Args:
        config: The config it was trained with.
        checkpoint: Checkpoint of that training.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        k-NN accuracy and agreement with labels where labels are known, sizes of the clusters,
        and quality that needs no labels.

    Raises:
        ConfigError: If the config, the data or the checkpoint cannot be used.
    """
    resolved, algorithm = _load(config, checkpoint, options)
    return finalize(resolved, algorithm).report


def _load(
    config: str | Path | Config, checkpoint: str | Path, options: Mapping[str, Any] | None
) -> tuple[ResolvedConfig, BaseAlgorithm]:
    if not Path(checkpoint).is_file():
        raise ConfigError(f"checkpoint {checkpoint} does not exist")
    resolved = resolve_config(config, options)
    return resolved, load_algorithm(resolved, checkpoint).to(get_device())
