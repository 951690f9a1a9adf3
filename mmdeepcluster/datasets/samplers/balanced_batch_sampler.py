"""Batches of nearly equal size, so that none is left over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import Sampler

from mmdeepcluster.datasets.samplers.owner_sampler import Draw
from mmdeepcluster.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class BalancedBatchSampler(Sampler[list[Draw]]):
    """Deals the n draws of an epoch into ceil(n / batch_size) batches.

    Their sizes differ by at most one and none exceeds ``batch_size``. So no draw is dropped, and
    the last batch is not a small remainder: with ``batch_size >= 3`` no batch is a single sample,
    which batch normalisation could not train on (unless there is only one draw).

    Args:
        sampler: source of the draws; it must have a length.
        batch_size: largest number of draws in a batch, of this process.

    Raises:
        ValueError: ``batch_size`` is less than 1.
    """

    def __init__(self, sampler: Any, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.sampler = sampler
        self.batch_size = batch_size
        self._start = 0

    def set_start(self, batch: int) -> None:
        """Lets the next iteration start at a batch, for a run that goes on inside an epoch.

        The batches before it are drawn but not decoded. Later iterations start at 0 again.

        Args:
            batch: number of batches to pass over, from 0 to ``len(self)``.

        Raises:
            ValueError: there are fewer batches in an epoch.
        """
        if not 0 <= batch <= len(self):
            raise ValueError(f"cannot start at batch {batch}: an epoch has {len(self)} batches")
        self._start = batch

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return math.ceil(len(self.sampler) / self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        # A generator: DataLoader calls iter() twice for its first epoch and reads the second, so
        # the start must be consumed at the first batch, not at the call.
        start, self._start = self._start, 0
        small, larger = divmod(len(self.sampler), len(self))
        draws = iter(self.sampler)
        for number in range(len(self)):
            batch = list(islice(draws, small + (number < larger)))
            if number >= start:
                yield batch
