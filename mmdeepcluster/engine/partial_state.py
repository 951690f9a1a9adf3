"""Checkpoints hold whole tensors also where each process holds a part of some parameters.

So a training may be continued with another number of processes, or with all parts on each. What
MMEngine saves is that of one process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor

from mmdeepcluster.models import BaseAlgorithm


def whole_weights(algorithm: BaseAlgorithm) -> dict[str, Any]:
    """State dict on the CPU; collective, whole on the main process alone."""
    state = algorithm.state_dict()
    group, partial = algorithm.head_group, algorithm.partial_parameters()
    return {
        name: group.gather_on_main(value.detach())
        if group is not None and name in partial
        else value.detach().cpu()
        for name, value in state.items()
    }


def own_weights(state: dict[str, Any], algorithm: BaseAlgorithm) -> dict[str, Any]:
    """The part of this process of what :func:`whole_weights` returned."""
    group, partial = algorithm.head_group, algorithm.partial_parameters()
    if group is None:
        return state
    return {
        name: group.part_of(value) if name in partial else value for name, value in state.items()
    }


def whole_optimizer(wrapper: OptimWrapper, algorithm: BaseAlgorithm) -> dict[str, Any]:
    """State of an optimizer on the CPU; collective, whole on the main process alone."""
    state, group = wrapper.state_dict(), algorithm.head_group
    if group is not None:
        state = _changed(state, _partial(wrapper, algorithm), group.gather_on_main)
    found: dict[str, Any] = _to_cpu(state)
    return found


def own_optimizer(
    state: dict[str, Any], wrapper: OptimWrapper, algorithm: BaseAlgorithm
) -> dict[str, Any]:
    """The part of this process of what :func:`whole_optimizer` returned."""
    group = algorithm.head_group
    if group is None:
        return state
    parts = _partial(wrapper, algorithm)
    whole = {index: (group.num_super_classes, *shape[1:]) for index, shape in parts.items()}
    return _changed(state, whole, group.part_of)


def _changed(
    state: dict[str, Any],
    shapes: dict[int, tuple[int, ...]],
    change: Callable[[Tensor], Tensor | None],
) -> dict[str, Any]:
    """A copy in which tensors of these shapes, by number of the parameter, are changed."""
    entries = dict(state["state"])
    for index in sorted(shapes.keys() & entries.keys()):  # the same order on all processes
        entries[index] = {
            name: change(value) if _fits(value, shapes[index]) else value
            for name, value in entries[index].items()
        }
    return state | {"state": entries}


def _partial(wrapper: OptimWrapper, algorithm: BaseAlgorithm) -> dict[int, tuple[int, ...]]:
    """Shapes of the partial parameters by their number in the state of the optimizer."""
    partial = {id(parameter) for parameter in algorithm.partial_parameters().values()}
    parameters = [p for group in wrapper.optimizer.param_groups for p in group["params"]]
    return {index: tuple(p.shape) for index, p in enumerate(parameters) if id(p) in partial}


def _fits(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, Tensor) and tuple(value.shape) == shape


def _to_cpu(value: Any) -> Any:
    """Copies nested containers with their tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {k: _to_cpu(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_cpu(v) for v in value)
    return value
