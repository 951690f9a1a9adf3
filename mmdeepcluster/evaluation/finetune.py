"""Settings of fine-tuning with few labels (R68), and which images get one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class FinetuneProtocol:
    """How a whole network is fine-tuned with a linear classifier on its pooled features.

    Attributes:
        fraction: Share of each class that is labelled.
        lr: Learning rate of the network.
        head_lr: Learning rate of the classifier.
        epochs: Passes over the labelled images.
        steps: Epochs at which both rates are multiplied by ``gamma``.
        gamma: See ``steps``.
        momentum: Momentum of SGD.
        weight_decay: L2 penalty.
        batch_size: Images per step.
    """

    fraction: float
    lr: float
    head_lr: float
    epochs: int = 20
    steps: tuple[int, ...] = (12, 16)
    gamma: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {self.fraction}")
        for name in ("lr", "head_lr", "epochs", "batch_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of a fine-tuning must be > 0, got {getattr(self, name)}")

    @property
    def id(self) -> str:
        """Name under which numbers may be compared."""
        steps = "-".join(map(str, self.steps))
        return (
            f"finetune{self.fraction:.0%}-e{self.epochs}-lr{self.lr:g}-head{self.head_lr:g}"
            f"-step{steps}x{self.gamma:g}-m{self.momentum:g}-wd{self.weight_decay:g}"
            f"-b{self.batch_size}-cropflip"
        )

    def factor(self, epoch: int) -> float:
        """What both rates are multiplied by in an epoch, from 0."""
        return self.gamma ** sum(epoch >= step for step in self.steps)

    def changed(self, **options: float | int) -> FinetuneProtocol:
        """The same with other numbers; steps keep their place in the schedule."""
        epochs = int(options.get("epochs", self.epochs))
        steps = tuple(max(1, round(step * epochs / self.epochs)) for step in self.steps)
        return replace(self, steps=steps, **options)  # type: ignore[arg-type]


# The rates that SwAV's authors published for ResNet-50 on ImageNet, batches of 256.
FINETUNE_PROTOCOLS: dict[str, FinetuneProtocol] = {
    "semi-1": FinetuneProtocol(0.01, 0.02, 5.0),
    "semi-10": FinetuneProtocol(0.1, 0.01, 0.2),
}


def stratified_subset(labels: ArrayLike, fraction: float, seed: int) -> NDArray[np.int64]:
    """Draws the same share of each class, at least one image.

    Args:
        labels: Classes (N,).
        fraction: Share in (0, 1].
        seed: Seed of the draw.

    Returns:
        Ascending rows, int64.

    Raises:
        ValueError: If there is no label or ``fraction`` is outside (0, 1].
    """
    known = np.asarray(labels)
    if not len(known) or not 0 < fraction <= 1:
        raise ValueError(f"need labels and a fraction in (0, 1], got {len(known)} and {fraction}")
    generator = np.random.default_rng(seed)
    drawn = []
    for value in np.unique(known):
        rows = np.flatnonzero(known == value)
        drawn.append(generator.choice(rows, max(1, round(fraction * len(rows))), replace=False))
    return np.sort(np.concatenate(drawn)).astype(np.int64)
