"""The network that a training starts from."""

from __future__ import annotations

from mmengine.device import get_device

from mmdeepcluster.engine import ConfigError, ResolvedConfig, build_algorithm, seed_everything
from mmdeepcluster.models import BaseAlgorithm


def untrained_algorithm(resolved: ResolvedConfig, seed: int) -> BaseAlgorithm:
    """Builds what a training with ``randomness.seed`` of that value starts from.

    Args:
        resolved: The config.
        seed: The seed; the global generators are set to it.

    Returns:
        The algorithm on the device that would train it.

    Raises:
        ConfigError: If a component refuses its options.
    """
    seed_everything(seed)
    try:
        algorithm = build_algorithm(resolved)
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(str(error)) from error
    if algorithm.init_cfg is not None:
        algorithm.init_weights()
    return algorithm.to(get_device())
