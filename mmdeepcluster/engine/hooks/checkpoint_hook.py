"""When checkpoints are saved, and which are kept."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmdeepcluster.engine.checkpoint_io import (
    SAVED_FILES,
    move_pointer,
    pointed_checkpoint,
    prune,
    remove_leftovers,
)
from mmdeepcluster.engine.errors import TrainingInterruptedError
from mmdeepcluster.registry import HOOKS


@HOOKS.register_module(name="CheckpointHook")
class EpochCheckpointHook(Hook):
    """Replaces MMEngine's hook of the same name, which prunes before it saves.

    Saves ``epoch_N.pth``, then moves the pointer ``last_checkpoint``, then removes old files, so
    that there is a complete checkpoint at any instant.

    SIGTERM, SIGUSR1 and SIGUSR2 end the training after the iteration in which they come, with a
    checkpoint from which it goes on at the next one (``iter_N.pth`` inside an epoch). With several
    processes one that was asked is enough.

    Args:
        interval: Epochs between checkpoints; the last epoch is always saved. Defaults to 1.
        max_keep_ckpts: How many are kept; -1 keeps all. Defaults to 3.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 3) -> None:
        if interval < 1:
            raise ValueError(
                f"default_hooks.checkpoint.interval must be at least 1 epoch, got {interval}"
            )
        if max_keep_ckpts == 0 or max_keep_ckpts < -1:
            raise ValueError(
                "default_hooks.checkpoint.max_keep_ckpts must be at least 1, or -1 for all, got "
                f"{max_keep_ckpts}"
            )
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts

    def before_train(self, runner: Any) -> None:
        """Warns of an earlier run in the same folder, which this one will overwrite."""
        fresh = {"run": f"{runner.experiment_name}_{time.time_ns()}", "files": []}
        state = runner.hook_state.setdefault(SAVED_FILES, fresh)
        if not is_main_process():
            return
        remove_leftovers(Path(runner.work_dir))
        if not state["files"] and pointed_checkpoint(runner.work_dir) is not None:
            runner.logger.warning(
                f"{runner.work_dir} holds checkpoints of an earlier run, which this one will "
                "overwrite; --resume would have continued it, --work-dir names another folder"
            )

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Saves and stops when asked, but for the end of an epoch, where its hooks come first."""
        number = runner.stop_request.agreed()
        if number and batch_idx + 1 < len(runner.train_dataloader):
            done = runner.iter + 1
            position = {"epoch": runner.epoch, "iter": done, "batch_in_epoch": batch_idx + 1}
            self._save(runner, f"iter_{done}.pth", position)
            self._stop(number, runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Saves at the interval, or when asked to stop."""
        number = runner.stop_request.agreed()
        if self.every_n_epochs(runner, self.interval) or number:
            self._save_epoch(runner, runner.epoch + 1)
        if number and not self.is_last_train_epoch(runner):
            self._stop(number, runner)

    def stop_before_epoch(self, runner: Any) -> None:
        """Saves what the epoch would start from, and stops, if asked to. Collective."""
        number = runner.stop_request.agreed()
        if number:
            self._save_epoch(runner, runner.epoch)
            self._stop(number, runner)

    def after_train(self, runner: Any) -> None:
        """Saves the end of the training, now with the assigner."""
        self._save_epoch(runner, runner.epoch)

    def _save_epoch(self, runner: Any, epoch: int) -> None:
        self._save(runner, f"epoch_{epoch}.pth", {"epoch": epoch, "iter": runner.iter})

    def _save(self, runner: Any, name: str, position: dict[str, int]) -> None:
        folder = Path(runner.work_dir)
        # Files of this run alone, oldest first: those of an earlier one are not counted.
        state = runner.hook_state[SAVED_FILES]
        state["files"] = [old for old in state["files"] if old != name] + [name]
        runner.save_checkpoint(str(folder), name, meta=position)
        keep = len(state["files"]) if self.max_keep_ckpts < 0 else self.max_keep_ckpts
        if is_main_process():
            move_pointer(folder, name)
            prune(folder, state["files"][:-keep])
        state["files"] = state["files"][-keep:]

    def _stop(self, number: int, runner: Any) -> None:
        saved = Path(runner.work_dir) / runner.hook_state[SAVED_FILES]["files"][-1]
        raise TrainingInterruptedError(
            f"stopped by {signal.Signals(number).name}, saved {saved}; --resume continues",
            exit_code=128 + number,
        )
