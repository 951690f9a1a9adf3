"""A progress bar, on a terminal alone."""

from __future__ import annotations

import logging
import sys
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmdeepcluster.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows epoch, iterations, loss and change ratio below the log lines.

    Nothing is shown, and nothing is written, where the output is a file or a pipe: the log lines
    remain the record of a run.
    """

    priority = "LOW"

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: Any = None
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []

    def before_train(self, runner: Any) -> None:
        """Starts the bar, and sends log lines through it so that they do not break it."""
        if not (is_main_process() and sys.stdout.isatty()):
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=runner.max_iters, completed=runner.iter)
        for handler in runner.logger.handlers:
            if type(handler) is logging.StreamHandler:
                self._streams.append((handler, handler.setStream(sys.stdout)))

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Moves the bar; loss and change ratio are those of the last log interval."""
        if self._progress is None:
            return
        values = [
            f"{name} {runner.message_hub.get_scalar(f'train/{name}').current():.3f}"
            for name in ("loss", "change_ratio")
            if f"train/{name}" in runner.message_hub.log_scalars
        ]
        text = f"epoch {runner.epoch + 1}/{runner.max_epochs}  {'  '.join(values)}"
        self._progress.update(self._task, completed=runner.iter + 1, description=text)

    def after_train(self, runner: Any) -> None:
        """Takes the bar away and gives the log its stream back."""
        if self._progress is None:
            return
        self._progress.stop()
        for handler, stream in self._streams:
            if stream is not None:
                handler.setStream(stream)
        self._progress = None
        self._streams = []
