"""Published settings of linear probes, each with an id that goes with every number."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

Entry = TypeVar("Entry")


def pick(choices: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: For another name, with the nearest one and all of them.
    """
    if name in choices:
        return choices[name]
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint} Choices: {', '.join(choices)}")


@dataclass(frozen=True)
class ProbeProtocol:
    """How a linear classifier is trained by SGD on cached features.

    Attributes:
        epochs: Passes over the training features.
        lr: Learning rate at the start.
        weight_decay: L2 penalty of weights and biases.
        steps: Epochs at which the rate is multiplied by ``gamma``; ignored with ``cosine``.
        gamma: See ``steps``.
        cosine: Lowers the rate along half a cosine to zero, epoch by epoch.
        momentum: Momentum of SGD.
        nesterov: Nesterov's form of it.
        batch_size: Features per step.
        batch_norm: Puts batch norm without affine parameters in front of the classifier.
        pooled: Meant for the average over all positions of the last map, not for each layer.
    """

    epochs: int
    lr: float
    weight_decay: float
    steps: tuple[int, ...] = ()
    gamma: float = 0.1
    cosine: bool = False
    momentum: float = 0.9
    nesterov: bool = False
    batch_size: int = 256
    batch_norm: bool = False
    pooled: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "lr", "batch_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of a probe must be > 0, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ValueError(
                "a probe needs momentum in [0, 1) and weight_decay >= 0, got "
                f"{self.momentum} and {self.weight_decay}"
            )

    @property
    def id(self) -> str:
        """Name under which numbers may be compared; ``cached``: of one fixed view per image."""
        schedule = "cos" if self.cosine else "-".join(map(str, self.steps)) or "const"
        if self.steps and not self.cosine:
            schedule = f"step{schedule}x{self.gamma:g}"
        parts = (
            "gap" if self.pooled else "linear",
            *(("bn",) if self.batch_norm else ()),
            f"e{self.epochs}",
            f"lr{self.lr:g}",
            schedule,
            f"m{self.momentum:g}{'n' if self.nesterov else ''}",
            f"wd{self.weight_decay:g}",
            f"b{self.batch_size}",
            "cached",
        )
        return "-".join(parts)

    def lr_of(self, epoch: int) -> float:
        """Learning rate of an epoch, from 0."""
        if self.cosine:
            return 0.5 * self.lr * (1 + math.cos(math.pi * epoch / self.epochs))
        return self.lr * self.gamma ** sum(epoch >= step for step in self.steps)

    def shortened(self, epochs: int) -> ProbeProtocol:
        """The same schedule squeezed into another number of epochs; its id says so."""
        steps = tuple(max(1, round(step * epochs / self.epochs)) for step in self.steps)
        return replace(self, epochs=epochs, steps=steps)


# R62: ODC, section 4.1, with the released code where the paper is silent (batch norm, weight
# decay, Nesterov); the schedule of the same probe in OpenMMLab's benchmarks. R63: the probes of the
# last layer of OpenMMLab (after MoCo) and of SwAV.
PROBE_PROTOCOLS: dict[str, ProbeProtocol] = {
    "linear-odc": ProbeProtocol(
        100, 0.01, 1e-4, steps=(30, 60, 90), nesterov=True, batch_norm=True
    ),
    "linear-openmmlab": ProbeProtocol(
        90, 0.01, 1e-4, steps=(60, 80), nesterov=True, batch_norm=True
    ),
    "gap-openmmlab": ProbeProtocol(100, 30.0, 0.0, steps=(60, 80), pooled=True),
    "gap-swav": ProbeProtocol(100, 0.3, 1e-6, cosine=True, pooled=True),
}
