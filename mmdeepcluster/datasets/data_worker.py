"""What a data worker does first."""

from __future__ import annotations

import gc
import os
import signal


def begin_worker(worker_id: int) -> None:
    """Lets a data worker live on when a cluster asks all processes to stop, and collect nothing.

    torchrun and Slurm signal whole process groups. The training saves first, for which it needs
    the workers to finish the iteration; they end with it. So they are a group of their own; the
    parent itself can still end them.

    A forked worker inherits what the parent has not collected yet. Among it may be the iterator of
    an earlier loader that an exception ended. Collected here, it would close pipes, and those of
    this worker may have their numbers by now: batches would be lost or damaged.
    """
    gc.freeze()
    os.setpgrp()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
