"""Which processes cluster the inside of which super-cluster, and their process groups."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

import torch
from torch import distributed as torch_dist
from torch.distributed import ProcessGroup

from mmdeepcluster.clustering.row_share import RowShare

Result = TypeVar("Result")


def deal_processes(sizes: Sequence[int], world_size: int) -> list[range]:
    """Processes of each super-cluster; the same on every process.

    With at least as many processes as super-clusters each gets one, and the next one always goes
    where most rows fall to one process; they are contiguous, in the order of the super-clusters.
    With fewer, each super-cluster goes to one process, the largest first, to that with the fewest
    rows so far. Of equals the lowest comes first.

    Args:
        sizes: Rows of each super-cluster.
        world_size: Number of processes, W.
    """
    if world_size < len(sizes):
        return _deal_clusters(sizes, world_size)
    widths = [1] * len(sizes)
    for _ in range(world_size - len(sizes)):
        loads = [Fraction(size, width) for size, width in zip(sizes, widths, strict=True)]
        widths[loads.index(max(loads))] += 1
    starts = [sum(widths[:index]) for index in range(len(widths))]
    return [range(start, start + width) for start, width in zip(starts, widths, strict=True)]


def _deal_clusters(sizes: Sequence[int], world_size: int) -> list[range]:
    loads = [0] * world_size
    groups = [range(0)] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        owner = loads.index(min(loads))
        loads[owner] += sizes[index]
        groups[index] = range(owner, owner + 1)
    return groups


def run_in_groups(
    share: RowShare, groups: Sequence[range], work: Callable[[ProcessGroup | None], Result]
) -> Result:
    """Lets each group of processes work on its own; collective.

    If one process fails, all raise: a group of gloo is closed by the process that fails, so that
    the others in it do not wait for ever. With another backend only those in the same group as
    others end at once, as in any other step, and the launcher ends the rest.

    Args:
        share: All processes.
        groups: Ranges of processes. One of several processes lies in no other.
        work: Gets the process group of this process, None if it works alone.

    Returns:
        What ``work`` returned on this process.

    Raises:
        ValueError: If ``share`` is not that of all processes.
        RuntimeError: If another process failed.
    """
    if share.group is not None:
        raise ValueError("groups of processes can be made of all processes only")
    group = _make_groups(groups)
    failure: Exception | None = None
    try:
        result = work(group)
    except Exception as error:
        if group is not None and torch_dist.get_backend(group) != "gloo":
            raise
        failure = error
        # The group closes once nobody refers to it, as the frames of the failed call do.
        traceback.clear_frames(error.__traceback__)
        _close(group)
        group = None
    failed = share.all_reduce(torch.tensor(0.0 if failure is None else 1.0), "max")
    _close(group)  # not before all have got the last message in it
    if failure is not None:
        raise failure
    if float(failed):
        raise RuntimeError("another process failed while it clustered; its own error says why")
    return result


def _make_groups(groups: Sequence[range]) -> ProcessGroup | None:
    """The group in which this process is; all processes make all of them, in the same order."""
    own: ProcessGroup | None = None
    for ranks in groups:
        if len(ranks) > 1:
            made = torch_dist.new_group(list(ranks))
            if isinstance(made, ProcessGroup):  # another object where this process is not in it
                own = made
    return own


def _close(group: ProcessGroup | None) -> None:
    if group is not None:
        torch_dist.destroy_process_group(group)
