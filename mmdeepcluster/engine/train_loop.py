"""The epoch loop, which knows where in an epoch it is."""

from __future__ import annotations

from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from mmdeepcluster.engine.seeding import set_random_state
from mmdeepcluster.registry import LOOPS


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
