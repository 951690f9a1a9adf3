"""Measuring a checkpoint in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device

from mmdeepcluster.engine import (
    ConfigError,
    finalize,
    from_main,
    join_processes,
    load_algorithm,
    resolve_config,
)


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    launcher: str = "none",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Features and clusters of a trained checkpoint in figures.

    Args:
        config: The config it was trained with.
        checkpoint: Checkpoint of that training.
        launcher: What started this process, for several of them; see :func:`train`.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        k-NN accuracy and agreement with labels where labels are known, sizes of the clusters,
        and quality that needs no labels.

    Raises:
        ConfigError: If the config, the data or the checkpoint cannot be used.
    """
    if not Path(checkpoint).is_file():
        raise ConfigError(f"checkpoint {checkpoint} does not exist")
    join_processes(config, launcher, options)
    resolved = resolve_config(config, options)
    algorithm = load_algorithm(resolved, checkpoint).to(get_device())
    result = finalize(resolved, algorithm)
    report: dict[str, Any] = from_main(None if result is None else result.report)
    return report
