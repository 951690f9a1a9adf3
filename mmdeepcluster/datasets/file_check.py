"""Looking at every image file before training, by threads and by all ranks together.

The check happens before training. A file that is found to be broken in epoch 3 would end the run
or silently change the data set; found at the start it is a clear message or a counted omission.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TypeVar

from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log

from mmdeepcluster.datasets.pil_loading import find_defect

# Files of a block, of which a rank knows or does not know what is in them.
BLOCK = 4096
_CHUNK = 32
# Files of one rank between two meetings of the ranks: seconds, so that no rank waits for another
# as long as a process group allows (10 minutes by default), however slow its disk is.
_ROUND = 128 * _CHUNK
_PROGRESS_SECONDS = 10.0

Finding = tuple[int, str]
T = TypeVar("T")


def default_num_threads() -> int:
    """Number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_unreadable(
    paths: Sequence[str | Path], num_threads: int | None = None
) -> list[tuple[int, str]]:
    """Decodes every file, in this process, and lists those that cannot be read.

    Args:
        paths: image files.
        num_threads: threads that decode (Pillow's decoders release the interpreter lock).
            Defaults to None, the number of usable CPU cores.

    Returns:
        Position in ``paths`` and reason of each unreadable file, in the order of ``paths``.

    Raises:
        ValueError: ``num_threads`` is less than 1.
    """
    check = _checker(paths, find_defect, None)
    found = _deal(-(-len(paths) // _CHUNK), check, num_threads, _ROUND // _CHUNK, None, 0, 1)
    return list(chain.from_iterable(found))


def check_files(
    names: Sequence[str],
    defect: Callable[[str], str | None],
    num_threads: int | None = None,
    blocks: Sequence[int] | None = None,
) -> Iterator[Finding]:
    """Looks at files, a share of them on each rank of the running process group.

    Collective: every rank calls it with the same names, exhausts it and receives the same. A file
    is looked at by one rank alone. Memory does not grow with the number of names.

    Args:
        names: names of files.
        defect: says of a name what is wrong with it, or None; called from several threads.
        num_threads: threads of each rank. Defaults to None, the usable CPU cores, of which the
            ranks that torchrun started on this machine take equal parts.
        blocks: ascending numbers of the blocks of :data:`BLOCK` names to look at. Defaults to all.

    Yields:
        Position in ``names`` and defect of each defective file, in the order of ``names``.

    Raises:
        RuntimeError: the ranks have different numbers of names.
        ValueError: ``num_threads`` is less than 1.
    """
    check_same_length(names)
    total, count = len(names), -(-len(names) // _CHUNK)
    if blocks is not None:
        count = len(blocks) * (BLOCK // _CHUNK)
        total = sum(min(BLOCK, len(names) - block * BLOCK) for block in blocks)

    def told(done: int) -> str:
        return f"checked {min(done * _CHUNK, total):,} of {total:,} image files"

    check = _checker(names, defect, blocks)
    return chain.from_iterable(deal(count, check, num_threads, _ROUND // _CHUNK, told))


def check_same_length(names: Sequence[str]) -> None:
    """Refuses ranks that have different numbers of names; collective.

    Raises:
        RuntimeError: They have.
    """
    lengths = all_gather_object(len(names))
    if len(set(lengths)) > 1:
        raise RuntimeError(
            f"the ranks see different data: {lengths} images; give all of them the same files"
        )


def _checker(
    names: Sequence[str | Path],
    defect: Callable[..., str | None],
    blocks: Sequence[int] | None,
) -> Callable[[int], list[Finding]]:
    """Looks at chunk ``number`` of the files of some blocks."""
    per_block = BLOCK // _CHUNK

    def check(number: int) -> list[Finding]:
        if blocks is not None:
            number = blocks[number // per_block] * per_block + number % per_block
        start = number * _CHUNK
        reasons = map(defect, names[start : start + _CHUNK])
        return [(start + i, reason) for i, reason in enumerate(reasons) if reason is not None]

    return check


def deal(
    count: int,
    work: Callable[[int], T],
    num_threads: int | None,
    per_round: int,
    told: Callable[[int], str] | None = None,
) -> Iterator[T]:
    """Does tasks 0 to ``count - 1``, a share of them on each rank of the running process group.

    Collective: every rank calls it with the same count, exhausts it and receives all results. A
    task that raises ends its rank alone, so an error that is to be expected is a result.

    Args:
        count: number of tasks.
        work: does a task; called from several threads.
        num_threads: as in :func:`check_files`.
        per_round: tasks of one rank between two meetings of the ranks.
        told: what to log, every ten seconds, when so many tasks are done. Defaults to nothing.

    Yields:
        The result of each task, in their order.
    """
    return _deal(count, work, num_threads, per_round, told, *get_dist_info())


def _deal(
    count: int,
    work: Callable[[int], T],
    num_threads: int | None,
    per_round: int,
    told: Callable[[int], str] | None,
    rank: int,
    world_size: int,
) -> Iterator[T]:
    if num_threads is None:
        neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size > 1 else 1
        num_threads = max(1, default_num_threads() // neighbours)
    if num_threads < 1:
        raise ValueError(f"dataset.num_threads must be at least 1, got {num_threads}")
    executor = ThreadPoolExecutor(num_threads, thread_name_prefix="image-check")
    last = time.monotonic()
    try:
        for begin in range(0, count, per_round * world_size):
            end = min(begin + per_round * world_size, count)
            found = [list(executor.map(work, range(begin + rank, end, world_size)))]
            if world_size > 1:
                found = all_gather_object(found[0])
            for number in range(end - begin):
                yield found[number % world_size][number // world_size]
            if told is not None and time.monotonic() - last > _PROGRESS_SECONDS:
                last = time.monotonic()
                print_log(told(end), logger="current")
    finally:
        # After an exception (Ctrl-C in a scan of millions) nothing that waits is started.
        executor.shutdown(cancel_futures=True)
