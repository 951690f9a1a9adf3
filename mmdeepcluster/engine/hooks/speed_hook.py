"""How fast an epoch was, and where its time went."""

from __future__ import annotations

import time
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import IterTimerHook

from mmdeepcluster.engine.hooks.scalars_hook import update_capped
from mmdeepcluster.registry import HOOKS


@HOOKS.register_module(name="IterTimerHook")
class SpeedHook(IterTimerHook):
    """Replaces MMEngine's hook of the same name, whose ``time`` and ``data_time`` it keeps.

    After each epoch it logs ``images_per_second`` over all processes, and of the time of the main
    process ``share_step``, forward, backward and optimizer, what a bare loop could not do without;
    ``share_data``, waiting for a batch; and ``share_rest``, memory, hooks and log.
    """

    def before_train_epoch(self, runner: Any) -> None:
        """Starts the clocks."""
        super().before_train_epoch(runner)
        self._start = self._last = time.perf_counter()
        self._waited, self._images = 0.0, 0
        runner.train_loop.take_step_seconds()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Ends the wait for a batch."""
        super().before_train_iter(runner, batch_idx, data_batch)
        self._waited += time.perf_counter() - self._last

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Begins the wait for the next one."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._images += len(data_batch["sample_idx"])
        self._last = time.perf_counter()

    def after_train_epoch(self, runner: Any) -> None:
        """Logs them."""
        step = runner.train_loop.take_step_seconds()
        seconds = time.perf_counter() - self._start
        super().after_train_epoch(runner)
        if not is_main_process() or not self._images:
            return
        shares = {"step": step / seconds, "data": self._waited / seconds}
        shares["rest"] = max(0.0, 1.0 - sum(shares.values()))
        values = {"images_per_second": self._images * get_world_size() / seconds}
        values |= {f"share_{name}": share for name, share in shares.items()}
        epoch = runner.epoch + 1
        runner.logger.info(
            f"Speed [{epoch}]  {values['images_per_second']:.0f} images/s: forward, backward and "
            f"optimizer {shares['step']:.0%} of the time, waiting for data {shares['data']:.0%}, "
            f"rest {shares['rest']:.0%}"
        )
        for name, value in values.items():
            update_capped(runner.message_hub, f"speed/{name}", value)
        runner.visualizer.add_scalars(
            {f"speed/{name}": value for name, value in values.items()}, step=epoch
        )
