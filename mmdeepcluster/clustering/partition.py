"""Which process owns which samples, and how rows travel between their owners.

Owner computes: a fixed random partition gives every rank its samples for the whole run, so the
rank that draws a sample is the one that owns its row of a memory, and a memory update crosses no
rank. Alone, one process owns everything and nothing here communicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import all_gather, gather, is_main_process
from torch import Tensor

# Words of the spawn keys: SeedSequence treats absent and zero words alike, so the partition and
# whatever else is derived from the same seed need different tags to be independent.
PARTITION_KEY = 1
# Rows travel in pieces of at most this size, so that gathering a bank needs no second bank.
_PIECE_BYTES = 1 << 26


class Partition:
    """A seeded random partition of N samples into W shares whose sizes differ by at most one.

    It is a function of (seed, num_samples, world_size) alone.

    Args:
        num_samples: N.
        seed: Seed of the run, from 0 on.
        rank: Number of this process.
        world_size: Number of processes, W.

    Attributes:
        owned: Sorted indices of this rank's samples, int64 (ceil(N/W),) or one fewer.

    Raises:
        ValueError: A negative seed, a rank outside ``[0, world_size)``, or fewer samples than
            processes.
    """

    def __init__(self, num_samples: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if seed < 0:
            raise ValueError(f"randomness.seed must be at least 0, got {seed}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is outside [0, {world_size})")
        if num_samples < world_size:
            raise ValueError(
                f"{num_samples} samples cannot be dealt to {world_size} processes: start at most "
                f"{num_samples}, or check dataset.root (or data_root)"
            )
        self.num_samples = num_samples
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.owned = self._shares()[rank]

    @property
    def num_owned(self) -> int:
        """Rows of this rank."""
        return len(self.owned)

    @property
    def max_owned(self) -> int:
        """Rows of the largest share, ceil(N / W)."""
        return math.ceil(self.num_samples / self.world_size)

    def own(self, rows: Tensor) -> Tensor:
        """Rows of this rank out of the rows (N, ...) of all samples."""
        return rows if self.world_size == 1 else rows[self.owned.to(rows.device)]

    def to_local(self, sample_idx: Tensor) -> Tensor:
        """Position of samples in :attr:`owned`, which is the row of a memory; int64 (B,).

        Raises:
            ValueError: If another rank owns one of them (checked where the indices are on a
                CPU; a GPU would have to wait for the answer).
        """
        if self.world_size == 1:
            return sample_idx
        self.owned = self.owned.to(sample_idx.device)
        rows = torch.searchsorted(self.owned, sample_idx).clamp_max(self.num_owned - 1)
        if not sample_idx.is_cuda and not torch.equal(self.owned[rows], sample_idx):
            raise ValueError(
                f"rank {self.rank} was given samples of another rank: memory and sampler need "
                "the same seed, number of samples and number of processes"
            )
        return rows

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all samples, on every rank and on the CPU; every rank must call it.

        Args:
            rows: Rows of this rank's samples (num_owned, ...).

        Returns:
            Rows (N, ...) in the order of the samples.
        """
        if self.world_size == 1:
            return rows.detach().cpu().clone()
        result = torch.empty(self.num_samples, *rows.shape[1:], dtype=rows.dtype)
        shares = self._shares()
        for start, piece in self._pieces(rows):
            self._place(result, shares, start, all_gather(piece))
        return result

    def gather_on_main(self, rows: Tensor) -> Tensor | None:
        """As :meth:`gather`, but only the main process gets the rows; the others get None."""
        if self.world_size == 1:
            return rows.detach().cpu().clone()
        main = is_main_process()
        shape = (self.num_samples, *rows.shape[1:])
        result = torch.empty(shape, dtype=rows.dtype) if main else None
        shares = self._shares()
        for start, piece in self._pieces(rows):
            pieces = gather(piece, dst=0)
            if result is not None:
                self._place(result, shares, start, pieces)
        return result

    def _shares(self) -> list[Tensor]:
        """Sorted samples of each rank."""
        if self.world_size == 1:
            return [torch.arange(self.num_samples)]
        sequence = np.random.SeedSequence(self.seed, spawn_key=(PARTITION_KEY,))
        order = np.random.default_rng(sequence).permutation(self.num_samples).astype(np.int64)
        return [
            torch.from_numpy(np.sort(order[rank :: self.world_size]))
            for rank in range(self.world_size)
        ]

    def _pieces(self, rows: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Pieces of equal shape on every rank, as collectives need them; the last one is padded."""
        row_bytes = max(1, rows[:1].numel() * rows.element_size())
        size = max(1, min(self.max_owned, _PIECE_BYTES // row_bytes))
        for start in range(0, self.max_owned, size):
            piece = rows[start : start + size].detach()
            wanted = min(size, self.max_owned - start)
            if len(piece) < wanted:
                padding = rows.new_zeros(wanted - len(piece), *rows.shape[1:])
                piece = torch.cat([piece, padding])
            yield start, piece.contiguous()

    @staticmethod
    def _place(result: Tensor, shares: list[Tensor], start: int, pieces: list[Tensor]) -> None:
        for share, piece in zip(shares, pieces, strict=True):
            samples = share[start : start + len(piece)]
            result[samples] = piece[: len(samples)].cpu()


__all__ = ["PARTITION_KEY", "Partition"]
