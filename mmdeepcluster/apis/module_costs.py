"""What the modules of a network cost for an image: counted while a batch passes through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Batch norm wants two values.
BATCH = 2


@dataclass(frozen=True)
class ModuleCost:
    """A module without the modules in it.

    Attributes:
        name: Dotted name in the model.
        kind: Its class.
        output: Shape of its output for an image; empty where that is no tensor.
        parameters: Number of its weights.
        macs: Multiply-adds for an image.
        activations: Elements of its output for an image, if it multiplies; else 0.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    activations: int


class _Tracker:
    """Multiply-adds of the modules that are running, each without those in it."""

    def __init__(self, flops: FlopCounterMode) -> None:
        self._flops = flops
        self._open: list[list[int]] = []  # flops at its begin, flops of the modules in it
        self.own: dict[nn.Module, int] = {}
        self.activations: dict[nn.Module, int] = {}
        self.outputs: dict[nn.Module, tuple[int, ...]] = {}

    def enter(self, module: nn.Module, inputs: Any) -> None:
        self._open.append([self._flops.get_total_flops(), 0])

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        begin, inside = self._open.pop()
        whole = self._flops.get_total_flops() - begin
        if self._open:
            self._open[-1][1] += whole
        self.own[module] = self.own.get(module, 0) + whole - inside
        if isinstance(output, Tensor):
            self.outputs[module] = tuple(output.shape[1:])
            if whole > inside:
                size = math.prod(output.shape[1:])
                self.activations[module] = self.activations.get(module, 0) + size


def module_costs(parts: Mapping[str, nn.Module], forward: Callable[[], Any]) -> list[ModuleCost]:
    """Counts what the modules below some parts do in a forward pass of :data:`BATCH` images.

    Counted are convolutions and products of matrices; two FLOPs of torch's ``FlopCounterMode``
    are one multiply-add. Norms, activation functions, pooling and sums of branches are not, as in
    the tables of papers.

    Args:
        parts: Modules by name.
        forward: Runs them.

    Returns:
        Modules that have weights or multiply, in the order of the model.
    """
    with FlopCounterMode(display=False) as flops, _tracked(parts, _Tracker(flops)) as tracker:
        forward()
    return list(_rows(parts, tracker))


@contextmanager
def _tracked(parts: Mapping[str, nn.Module], tracker: _Tracker) -> Iterator[_Tracker]:
    handles = []
    for part in parts.values():
        for module in part.modules():
            handles.append(module.register_forward_pre_hook(tracker.enter))
            handles.append(module.register_forward_hook(tracker.leave))
    try:
        yield tracker
    finally:
        for handle in handles:
            handle.remove()


def _rows(parts: Mapping[str, nn.Module], tracker: _Tracker) -> Iterator[ModuleCost]:
    for part_name, part in parts.items():
        for name, module in part.named_modules(prefix=part_name):
            parameters = sum(p.numel() for p in module.parameters(recurse=False))
            macs = tracker.own.get(module, 0) // (2 * BATCH)
            if parameters or macs:
                yield ModuleCost(
                    name,
                    type(module).__name__,
                    tracker.outputs.get(module, ()),
                    parameters,
                    macs,
                    tracker.activations.get(module, 0),
                )


def total_macs(forward: Callable[[], Any]) -> int:
    """Multiply-adds for an image of whatever a function does with :data:`BATCH` of them."""
    with FlopCounterMode(display=False) as flops:
        forward()
    return int(flops.get_total_flops()) // (2 * BATCH)


def training_macs(loss: Callable[[], Tensor]) -> int:
    """The same of a forward and a backward pass."""

    def both() -> None:
        with torch.enable_grad():
            loss().backward()  # type: ignore[no-untyped-call]

    return total_macs(both)
