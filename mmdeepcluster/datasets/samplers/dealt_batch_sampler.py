"""Batches of a pass in order, dealt to processes in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch.utils.data import Sampler

from mmdeepcluster.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DealtBatchSampler(Sampler[list[int]]):
    """Rank r takes batches r, r + W, r + 2 W, ... of the pass that one process would make.

    The batches are those of one process whatever W, so features do not depend on it. Within
    :meth:`visiting` this process takes other ones of these batches.

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
        self._span: tuple[int, int] | None = None

    @contextmanager
    def visiting(self, start: int, stop: int) -> Iterator[None]:
        """Lets this process take each batch that holds one of the positions [start, stop).

        A batch that also holds others is taken whole. Holds for iterations that start inside the
        block; the loader and its workers are the same.

        Args:
            start: first position in the order of samples.
            stop: position after the last one; ``start`` for none.

        Raises:
            ValueError: The positions are not those of samples.
        """
        if not 0 <= start <= stop <= len(self.sampler):
            raise ValueError(
                f"positions {start} to {stop} are not all among the {len(self.sampler)} samples"
            )
        self._span = (start, stop)
        try:
            yield
        finally:
            self._span = None

    def __len__(self) -> int:
        """Batches of this rank."""
        return len(self._starts())

    def __iter__(self) -> Iterator[list[int]]:
        for start in self._starts():
            yield list(self.sampler[start : start + self.batch_size])

    def _starts(self) -> range:
        """First position of each batch of this rank."""
        size = self.batch_size
        if self._span is None:
            return range(self.rank * size, len(self.sampler), size * self.world_size)
        start, stop = self._span
        return range(start // size * size, stop, size) if stop > start else range(0)
