"""Sends each row to the processes that work on its part of the rows, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import RowSource

# What a process sends, or gets, in one round.
_ROUND_BYTES = 1 << 26
_CHUNK_ROWS = 2048


class _Target(NamedTuple):
    """Rows ``[start, stop)`` among those of one part, which go to one process."""

    part: int
    receiver: int
    start: int
    stop: int


class Routes:
    """Which rows go from where to where; a function of the arguments, the same on all processes.

    The rows of a part are dealt to its processes as :class:`RowShare` deals them, in the order that
    they have in the whole matrix. So what one process sends to another is, of each part, one piece
    of its rows of that part.

    Args:
        share: The rows of this process.
        parts: Part of each of the N rows, int64 (N,), the same on every process.
        groups: Processes of each part.

    Attributes:
        pairs: Rows that each process has for each other one, int64 (W, W); rows that stay where
            they are stand on the diagonal.
    """

    def __init__(self, share: RowShare, parts: Tensor, groups: Sequence[range]) -> None:
        self.share = share
        world_size, num_rows = share.world_size, share.num_rows
        edges = [RowShare(num_rows, rank, world_size).start for rank in range(world_size)]
        counts = torch.stack(
            [
                torch.bincount(parts[start:stop], minlength=len(groups)).cpu()
                for start, stop in pairwise([*edges, num_rows])
            ]
        )
        # Rows of each part before those of each process (W + 1, number of parts).
        self._before = torch.cat([torch.zeros_like(counts[:1]), counts.cumsum(0)])
        self._targets = [
            _Target(part, receiver, piece.start, piece.stop)
            for part, (ranks, size) in enumerate(
                zip(groups, self._before[-1].tolist(), strict=True)
            )
            for number, receiver in enumerate(ranks)
            for piece in [RowShare(size, number, len(ranks))]
        ]
        part, receiver, start, stop = torch.tensor(self._targets).unbind(dim=1)
        low = torch.maximum(self._before[:-1, part], start)
        high = torch.minimum(self._before[1:, part], stop)
        lengths = (high - low).clamp_min(0)
        self.pairs = lengths.new_zeros(world_size, world_size).index_add_(1, receiver, lengths)

    def own_targets(self) -> list[_Target]:
        """What this process gets."""
        return [target for target in self._targets if target.receiver == self.share.rank]

    def outgoing(self, own_parts: Tensor) -> list[Tensor]:
        """Rows of this process, numbered from 0, for each process; those of a part ascend.

        Args:
            own_parts: Part of each row of this process.
        """
        rank = self.share.rank
        members = [(own_parts == part).nonzero().flatten() for part in self._parts()]
        found = [[own_parts[:0]] for _ in range(self.share.world_size)]
        for target in self._targets:
            low, high = self._piece(rank, target)
            before = int(self._before[rank, target.part])
            found[target.receiver].append(members[target.part][low - before : high - before])
        return [torch.cat(rows) for rows in found]

    def incoming(self, device: torch.device) -> list[Tensor]:
        """Places of the rows from each process, where this one's parts follow each other."""
        found = [
            [torch.empty(0, dtype=torch.int64, device=device)] for _ in range(self.share.world_size)
        ]
        offset = 0
        for target in self.own_targets():
            for sender, places in enumerate(found):
                low, high = self._piece(sender, target)
                shift = offset - target.start
                places.append(torch.arange(low + shift, high + shift, device=device))
            offset += target.stop - target.start
        return [torch.cat(places) for places in found]

    def _parts(self) -> range:
        return range(self._before.shape[1])

    def _piece(self, sender: int, target: _Target) -> tuple[int, int]:
        """Rows of the part, counted over all processes, that one sends for a target."""
        low = max(target.start, int(self._before[sender, target.part]))
        high = min(target.stop, int(self._before[sender + 1, target.part]))
        return low, max(low, high)


def redistribute(
    source: RowSource, share: RowShare, parts: Tensor, groups: Sequence[range]
) -> dict[int, Tensor]:
    """Rows of the parts that this process works on, sent by those that have them; collective.

    Every row travels at most once, in fp32, in rounds in which no process sends or gets more than
    64 MiB (or one row for each other process). Rows that stay where they are do not travel. No
    numbers are sent, since every process knows the part of every row.

    Args:
        source: Rows of this process.
        share: Which rows of the N they are.
        parts: Part of each of the N rows, int64 (N,), the same on every process.
        groups: Processes of each part, to which its rows are dealt as :class:`RowShare` does, in
            the order in which they are in the whole matrix.

    Returns:
        Part and rows, for each part that has this process in its group.
    """
    routes = Routes(share, parts, groups)
    outgoing = routes.outgoing(parts[share.start : share.stop])
    incoming = routes.incoming(source.device)
    result = torch.empty(sum(map(len, incoming)), source.dim, device=source.device)
    copy_rows(source, outgoing[share.rank], result, incoming[share.rank])
    pairs = routes.pairs.clone().fill_diagonal_(0)
    # Most processes that one sends to or gets from: each pair has an equal part of a round.
    partners = int(torch.maximum((pairs > 0).sum(0), (pairs > 0).sum(1)).max())
    step = max(1, _ROUND_BYTES // (4 * source.dim * max(1, partners)))
    for start in range(0, int(pairs.max()), step):
        size = (pairs - start).clamp(0, step)
        sent, received = size[share.rank].tolist(), size[:, share.rank].tolist()
        buffer = torch.empty(sum(sent), source.dim, device=source.device)
        for rows, place in zip(outgoing, _slices(sent), strict=True):
            part = rows[start : start + place.stop - place.start]
            copy_rows(source, part, buffer[place])
        buffer = share.exchange(buffer, sent, received)
        for places, place in zip(incoming, _slices(received), strict=True):
            result[places[start : start + place.stop - place.start]] = buffer[place]
    targets = routes.own_targets()
    pieces = result.split([target.stop - target.start for target in targets])
    return {target.part: piece for target, piece in zip(targets, pieces, strict=True)}


def copy_rows(
    source: RowSource, rows: Tensor, result: Tensor, places: Tensor | None = None
) -> None:
    """Copies rows (M,) of a matrix to ``places`` (M,) of the result, or to its M rows."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        result[chunk if places is None else places[chunk]] = source.take(rows[chunk])


def _slices(sizes: Sequence[int]) -> list[slice]:
    """Ranges of these lengths that follow each other."""
    stops = torch.tensor([0, *sizes]).cumsum(0).tolist()
    return [slice(start, stop) for start, stop in pairwise(stops)]
