"""When checkpoints are saved, and which are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mmdeepcluster.engine.checkpoint_io import (
    LAST_CHECKPOINT,
    find_last_checkpoint,
    write_atomically,
)
from mmdeepcluster.registry import HOOKS

_STATE = "checkpoints"


@HOOKS.register_module(name="CheckpointHook")
class EpochCheckpointHook(Hook):
    """Replaces MMEngine's hook of the same name, which prunes before it saves.

    Saves ``epoch_N.pth``, then moves the pointer ``last_checkpoint``, then removes old files, so
    that there is a complete checkpoint at any instant.

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
        saved = runner.hook_state.setdefault(_STATE, [])
        if not saved and find_last_checkpoint(runner.work_dir) is not None:
            runner.logger.warning(
                f"{runner.work_dir} holds checkpoints of an earlier run, which this one will "
                "overwrite; --resume would have continued it, --work-dir names another folder"
            )

    def after_train_epoch(self, runner: Any) -> None:
        """Saves at the interval."""
        if self.every_n_epochs(runner, self.interval):
            self._save(runner, runner.epoch + 1)

    def after_train(self, runner: Any) -> None:
        """Saves the end of the training, now with the assigner."""
        self._save(runner, runner.epoch)

    def _save(self, runner: Any, epoch: int) -> None:
        folder = Path(runner.work_dir)
        name = f"epoch_{epoch}.pth"
        # Files of this run alone, oldest first: those of an earlier one are not counted.
        saved = [old for old in runner.hook_state[_STATE] if old != name] + [name]
        keep = len(saved) if self.max_keep_ckpts < 0 else self.max_keep_ckpts
        runner.hook_state[_STATE] = saved[-keep:]
        runner.save_checkpoint(str(folder), name, meta={"epoch": epoch, "iter": runner.iter})
        write_atomically(folder / LAST_CHECKPOINT, str(folder / name))
        for old in saved[:-keep]:
            (folder / old).unlink(missing_ok=True)
