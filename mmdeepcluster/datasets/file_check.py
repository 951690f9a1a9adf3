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

from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log

from mmdeepcluster.datasets.pil_loading import find_defect

_CHUNK = 32
# Files of one rank between two meetings of the ranks: seconds, so that no rank waits for another
# as long as a process group allows (10 minutes by default), however slow its disk is.
_ROUND = 128 * _CHUNK
_PROGRESS_SECONDS = 10.0

Finding = tuple[int, str]


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
    return list(_scan(paths, find_defect, num_threads, 0, 1))


def check_files(
    names: Sequence[str], defect: Callable[[str], str | None], num_threads: int | None = None
) -> Iterator[Finding]:
    """Looks at files, a share of them on each rank of the running process group.

    Collective: every rank calls it with the same names, exhausts it and receives the same. A file
    is looked at by one rank alone. Memory does not grow with the number of names.

    Args:
        names: names of files.
        defect: says of a name what is wrong with it, or None; called from several threads.
        num_threads: threads of each rank. Defaults to None, the usable CPU cores, of which the
            ranks that torchrun started on this machine take equal parts.

    Yields:
        Position in ``names`` and defect of each defective file, in the order of ``names``.

    Raises:
        RuntimeError: the ranks have different numbers of names.
        ValueError: ``num_threads`` is less than 1.
    """
    rank, world_size = get_dist_info()
    lengths = all_gather_object(len(names))
    if len(set(lengths)) > 1:
        raise RuntimeError(
            f"the ranks see different data: {lengths} images; give all of them the same files"
        )
    return _scan(names, defect, num_threads, rank, world_size)


def _scan(
    names: Sequence[str | Path],
    defect: Callable[..., str | None],
    num_threads: int | None,
    rank: int,
    world_size: int,
) -> Iterator[Finding]:
    if num_threads is None:
        neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size > 1 else 1
        num_threads = max(1, default_num_threads() // neighbours)
    if num_threads < 1:
        raise ValueError(f"dataset.num_threads must be at least 1, got {num_threads}")

    def check(start: int) -> list[Finding]:
        reasons = map(defect, names[start : start + _CHUNK])
        return [(start + i, reason) for i, reason in enumerate(reasons) if reason is not None]

    executor = ThreadPoolExecutor(num_threads, thread_name_prefix="image-check")
    told = time.monotonic()
    try:
        for begin in range(0, len(names), _ROUND * world_size):
            end = min(begin + _ROUND * world_size, len(names))
            starts = range(begin + rank * _CHUNK, end, _CHUNK * world_size)
            found = list(chain.from_iterable(executor.map(check, starts)))
            if world_size > 1:
                found = sorted(chain.from_iterable(all_gather_object(found)))
            yield from found
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                print_log(f"checked {end:,} of {len(names):,} image files", logger="current")
    finally:
        # After an exception (Ctrl-C in a scan of millions) nothing that waits is started.
        executor.shutdown(cancel_futures=True)
