"""Loading the next batch while a network works on this one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.utils.data import DataLoader


def prefetched(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of a loader, in order, the next one loaded meanwhile.

    Data workers do so by themselves. Without them a thread loads one batch ahead: decoding and
    resizing release the interpreter lock, and so does a forward pass. For evaluation alone: a
    training draws random numbers, and two threads would take them from one generator.
    """
    if getattr(loader, "num_workers", 1) > 0:
        yield from loader
        return
    batches = iter(loader)
    with ThreadPoolExecutor(1, thread_name_prefix="next-batch") as thread:
        waiting = thread.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = thread.submit(next, batches, None)
            yield batch
