"""Batches of a pass in order, dealt to processes in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from mmdeepcluster.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DealtBatchSampler(Sampler[list[int]]):
    """Rank r takes batches r, r + W, r + 2 W, ... of the pass that one process would make.

    The batches are those of one process whatever W, so features do not depend on it.

    Args:
        sampler: Samples to visit, in this order.
        batch_size: Samples in a batch; the last one may be smaller.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: ``batch_size`` is less than 1, or the rank is outside ``[0, world_size)``.
    """

    def __init__(
        self, sampler: Sequence[int], batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is outside [0, {world_size})")
        self.sampler = sampler
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Batches of this rank."""
        total = math.ceil(len(self.sampler) / self.batch_size)
        return max(0, math.ceil((total - self.rank) / self.world_size))

    def __iter__(self) -> Iterator[list[int]]:
        step = self.batch_size * self.world_size
        for start in range(self.rank * self.batch_size, len(self.sampler), step):
            yield list(self.sampler[start : start + self.batch_size])
