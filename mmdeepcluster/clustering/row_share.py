"""Which rows of a feature matrix a process holds while all processes cluster it together."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from mmengine.dist import (
    all_gather,
    all_reduce,
    broadcast,
    cast_data_device,
    get_comm_device,
    get_rank,
    get_world_size,
)
from torch import Tensor
from torch import distributed as torch_dist
from torch.distributed import ProcessGroup

# Every share begins at a multiple of it, so that a product over one tile has the same shape, and
# with it the same bits, whatever the number of processes.
ROW_TILE = 1024


@dataclass(frozen=True)
class RowShare:
    """Contiguous rows ``[start, stop)`` of a matrix (N, D) whose rows are dealt to W processes.

    Shares follow each other by rank, are whole tiles of :data:`ROW_TILE` rows (the last tile may be
    shorter), and differ by at most one tile. A share is empty where there are fewer tiles than
    processes. It is a function of (num_rows, rank, world_size) alone.

    All that processes tell each other while they cluster goes through its methods, which are
    collective in its group; with one process they do nothing and need no process group.

    Attributes:
        num_rows: N, rows of the whole matrix.
        rank: Number of this process in its group.
        world_size: Number of processes of the group, W.
        group: The processes; None for all of them.

    Raises:
        ValueError: A rank outside ``[0, world_size)`` or a negative number of rows.
    """

    num_rows: int
    rank: int = 0
    world_size: int = 1
    group: ProcessGroup | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} is outside [0, {self.world_size})")
        if self.num_rows < 0:
            raise ValueError(f"num_rows must be at least 0, got {self.num_rows}")

    @classmethod
    def of_this_process(cls, num_rows: int) -> RowShare:
        """The share of this process in its (default) process group."""
        return cls(num_rows, get_rank(), get_world_size())

    @property
    def start(self) -> int:
        """First row of this process."""
        return self._boundary(self.rank)

    @property
    def stop(self) -> int:
        """Row after the last one of this process."""
        return self._boundary(self.rank + 1)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def indices(self) -> Tensor:
        """Numbers of the rows of this process, int64 (stop - start,)."""
        return torch.arange(self.start, self.stop)

    def check(self, rows: Tensor) -> None:
        """Refuses rows that are not those of this share.

        Raises:
            ValueError: Their number is wrong.
        """
        if len(rows) != len(self):
            raise ValueError(
                f"rank {self.rank} of {self.world_size} holds rows {self.start} to {self.stop} of "
                f"{self.num_rows}, so {len(self)} rows, but was given {len(rows)}"
            )

    def all_reduce(self, values: Tensor, op: str = "sum") -> Tensor:
        """Adds up the values of all processes in place, or takes their ``max`` or ``min``."""
        if self.world_size > 1:
            all_reduce(values, op, self.group)
        return values

    def broadcast(self, values: Tensor, source: int = 0) -> Tensor:
        """Overwrites the values with those of the process ``source`` of the group."""
        if self.world_size > 1:
            broadcast(values, self._global_rank(source), self.group)
        return values

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """Values of each process, which have the same shape everywhere."""
        return [values] if self.world_size == 1 else all_gather(values, self.group)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes (N, ...), on every process.

        Args:
            rows: Rows of this process (stop - start, ...).
        """
        self.check(rows)
        if self.world_size == 1:
            return rows
        sizes = [
            len(RowShare(self.num_rows, rank, self.world_size)) for rank in range(self.world_size)
        ]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        pieces = self.all_gather(padded)
        return torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])

    def exchange(self, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Sends rows to other processes and returns what they sent.

        Args:
            rows: Rows (sum of ``sent``, D), those for process 0 first.
            sent: Number of rows for each process.
            received: Number of rows from each process.

        Returns:
            Rows (sum of ``received``, D), those of process 0 first.
        """
        if self.world_size == 1:
            return rows
        outgoing = cast_data_device(rows.contiguous(), get_comm_device(self.group))
        incoming = outgoing.new_empty(sum(received), *rows.shape[1:])
        torch_dist.all_to_all_single(incoming, outgoing, received, sent, group=self.group)
        return cast_data_device(incoming, rows.device)

    def _global_rank(self, rank: int) -> int:
        return rank if self.group is None else torch_dist.get_global_rank(self.group, rank)

    def _boundary(self, rank: int) -> int:
        tiles = -(-self.num_rows // ROW_TILE)
        return min(self.num_rows, tiles * rank // self.world_size * ROW_TILE)
