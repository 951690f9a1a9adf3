"""The one way from a runner to the algorithm."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper

from mmdeepcluster.models import BaseAlgorithm


def get_algorithm(runner: Any) -> BaseAlgorithm:
    """The algorithm of a runner, unwrapped where it is wrapped for several processes.

    Raises:
        TypeError: If the model of the runner is not an algorithm of this package.
    """
    model = runner.model
    while is_model_wrapper(model):
        model = model.module
    if not isinstance(model, BaseAlgorithm):
        raise TypeError(f"model.type must be an algorithm, got {type(model).__name__}")
    return model
