"""Randomness of an epoch depends on (seed, epoch, rank) alone."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmdeepcluster.engine.seeding import derive_seed, seed_everything
from mmdeepcluster.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds the process anew at the start of each epoch.

    MMEngine 0.10.7 does not restore the random state of the process on resume; with this a
    resumed run draws the same dropout masks as one that was never interrupted.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Seeds torch, numpy and ``random``."""
        seed_everything(derive_seed(runner.seed, "epoch", runner.epoch, get_rank()))
