"""The epoch loop, which knows where in an epoch it is."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.runner import EpochBasedTrainLoop

from mmdeepcluster.engine.seeding import set_random_state
from mmdeepcluster.registry import LOOPS

# On a GPU one step in so many is timed, by two events.
_TIMED = 10


@LOOPS.register_module(name="EpochBasedTrainLoop")
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Replaces MMEngine's loop of the same name, which can only start at the first batch.

    Attributes:
        batch_in_epoch: Batches of the current epoch that are done.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_in_epoch = 0
        self._random_state: dict[str, Any] | None = None
        self._step_seconds = 0.0
        self._num_steps = 0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """As MMEngine's, with the time of the step itself."""
        self.runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        with_events = torch.cuda.is_available() and self._num_steps % _TIMED == 0
        events = _event_pair() if with_events else None
        start = time.perf_counter()
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self._step_seconds += time.perf_counter() - start
        self._num_steps += 1
        if events is not None:
            events[1].record()
            self._events.append(events)
        self.runner.call_hook(
            "after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

    def take_step_seconds(self) -> float:
        """Seconds that steps took since the last call: forward, backward and optimizer.

        Waits for a GPU, whose steps are timed on it: one in ten, which stands for the others.
        """
        seconds, events, number = self._step_seconds, self._events, self._num_steps
        self._step_seconds, self._events, self._num_steps = 0.0, [], 0
        if events:
            events[-1][1].synchronize()
            milliseconds = sum(start.elapsed_time(end) for start, end in events)
            seconds = milliseconds / 1e3 * number / len(events)
        return seconds

    def start_at(
        self, epoch: int, iteration: int, batch: int = 0, random_state: dict[str, Any] | None = None
    ) -> None:
        """Lets :meth:`run` go on from a position.

        Args:
            epoch: Epochs that are done.
            iteration: Iterations that are done.
            batch: Batches of the next epoch that are done; they are passed over undecoded.
            random_state: State of the global generators after them.
        """
        self._epoch, self._iter, self.batch_in_epoch = epoch, iteration, batch
        self._random_state = random_state

    def run_epoch(self) -> None:
        """Runs an epoch, or what is left of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        if self.batch_in_epoch:
            self.dataloader.batch_sampler.set_start(self.batch_in_epoch)
        if self._random_state is not None:
            # After the hooks, which seed the start of an epoch.
            set_random_state(self._random_state)
            self._random_state = None
        for index, batch in enumerate(self.dataloader, start=self.batch_in_epoch):
            self.run_iter(index, batch)
            self.batch_in_epoch = index + 1
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self.batch_in_epoch = 0


def _event_pair() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    """A start that is recorded now, and an end."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    return start, end
