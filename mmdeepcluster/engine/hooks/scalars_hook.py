"""Scalars of an iteration stay on the device until they are logged."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub

from mmdeepcluster.engine.checkpoint_io import HISTORY_LENGTH
from mmdeepcluster.engine.optim_wrapper import DeferredNormOptimWrapper
from mmdeepcluster.registry import HOOKS


def update_capped(hub: MessageHub, name: str, value: float) -> None:
    """Adds a value to a scalar of the hub whose history does not grow without bound."""
    if name not in hub.log_scalars:
        hub.log_scalars[name] = HistoryBuffer(max_length=HISTORY_LENGTH)
    hub.update_scalar(name, value)


@HOOKS.register_module(name="RuntimeInfoHook")
class DeferredScalarsHook(RuntimeInfoHook):
    """Replaces MMEngine's hook of the same name.

    MMEngine 0.10.7 calls ``.item()`` on each scalar in each iteration, which makes a GPU wait,
    and its history is copied at each append. Here scalars are kept on the device, read together
    at the log interval, and histories are capped.

    Outputs named ``health/...`` keep their name, all others are logged as ``train/...``. With
    several processes the mean over them is logged, the same on each.
    """

    def __init__(self) -> None:
        self._pending: dict[str, list[torch.Tensor]] = {}
        self._interval = 1

    def before_run(self, runner: Any) -> None:
        """Takes the log interval over from the logger hook."""
        super().before_run(runner)
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = loggers[0].interval if loggers else 50
        for name in ("train/time", "train/data_time"):
            runner.message_hub.log_scalars[name] = HistoryBuffer(max_length=HISTORY_LENGTH)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Tells the hub the iteration; learning rates are read at the log interval alone."""
        runner.message_hub.update_info("iter", runner.iter)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Keeps the scalars, and hands them to the hub when they are about to be read."""
        scalars = dict(outputs or {})
        if isinstance(runner.optim_wrapper, DeferredNormOptimWrapper):
            scalars |= runner.optim_wrapper.take_scalars()
        for key, value in scalars.items():
            name = key if key.startswith("health/") else f"train/{key}"
            self._pending.setdefault(name, []).append(torch.as_tensor(value).detach())
        last_of_epoch = batch_idx + 1 == len(runner.train_dataloader)
        if self.every_n_train_iters(runner, self._interval) or last_of_epoch:
            self._flush(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Hands over what a checkpoint inside a log interval would lose."""
        if self._pending:
            self._flush(runner)

    def _flush(self, runner: Any) -> None:
        for name, values in self._pending.items():
            numbers = torch.stack([value.float() for value in values])
            all_reduce(numbers, op="mean")
            for value in numbers.tolist():
                update_capped(runner.message_hub, name, value)
        self._pending.clear()
        for name, rates in runner.optim_wrapper.get_lr().items():
            update_capped(runner.message_hub, f"train/{name}", rates[0])


@HOOKS.register_module(name="LoggerHook")
class IterationLoggerHook(LoggerHook):
    """Replaces MMEngine's hook of the same name.

    ``interval`` counts iterations of the whole training, so that a data set of few iterations per
    epoch does not log every epoch, and the experiment name is not repeated each epoch.
    """

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Logs every ``interval`` iterations and at the last one."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            tag, line = runner.log_processor.get_log_after_iter(runner, batch_idx, "train")
            runner.logger.info(line)
            runner.visualizer.add_scalars(tag, step=runner.iter + 1, file_path=self.json_log_path)
