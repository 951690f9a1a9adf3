"""Watches for divergence and collapse, and says what to change."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.errors import TrainingError
from mmdeepcluster.engine.seeding import derive_seed
from mmdeepcluster.evaluation import (
    TrainingSigns,
    cluster_health,
    collapse_warnings,
    feature_spread,
    rank_me,
)
from mmdeepcluster.registry import HOOKS

_WARM_UP_SHARE = 0.1


@HOOKS.register_module()
class CollapseWatchdogHook(Hook):
    """Stops a diverged training within one interval; warns of collapse after each epoch.

    Args:
        interval: Iterations between looks for NaN and infinity; those of the log. Defaults to 50.
        action: ``warn``, or ``stop`` to end the training at a sign of collapse.
        repeat: Epochs after which a warning that still applies is said again. Defaults to 10.
    """

    priority = "LOW"

    def __init__(self, interval: int = 50, action: str = "warn", repeat: int = 10) -> None:
        if interval < 1 or repeat < 1:
            raise ValueError(
                f"default_hooks.watchdog needs interval and repeat >= 1, got {interval}, {repeat}"
            )
        if action not in ("warn", "stop"):
            raise ValueError(
                f"default_hooks.watchdog.action must be 'warn' or 'stop', got {action!r}"
            )
        self.interval = interval
        self.action = action
        self.repeat = repeat
        self._said: dict[str, int] = {}

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Ends a training whose loss or features are no longer finite."""
        at_end = batch_idx + 1 == len(runner.train_dataloader)
        if not (self.every_n_train_iters(runner, self.interval) or at_end):
            return
        bad = _recent(runner, "health/bad_rows", self.interval)
        loss = _recent(runner, "train/loss", self.interval)
        if (bad is not None and bad > 0) or (loss is not None and not abs(loss) < float("inf")):
            raise TrainingError(
                f"training diverged by iteration {runner.iter + 1}: mean loss {loss:.4g}, "
                f"{(bad or 0) * self.interval:.0f} features with NaN or infinity; lower "
                "optim_wrapper.optimizer.lr (checkpoints saved before are intact)"
            )

    def after_train_epoch(self, runner: Any) -> None:
        """Warns of what looks like collapse."""
        for warning in collapse_warnings(self._signs(runner)):
            last = self._said.get(warning.code)
            if self.action == "stop":
                raise TrainingError(f"stopped, default_hooks.watchdog.action='stop': {warning}")
            if last is None or runner.epoch - last >= self.repeat:
                runner.logger.warning(f"collapse? {warning}")
                self._said[warning.code] = runner.epoch

    def _signs(self, runner: Any) -> TrainingSigns:
        algorithm = get_algorithm(runner)
        window = len(runner.train_dataloader)
        zero_rows = _recent(runner, "health/zero_rows", window)
        features = algorithm.feature_sample(2048, derive_seed(runner.seed, "watchdog"))
        frozen = _recent(runner, "health/labels_frozen", window)
        return TrainingSigns(
            progress=(runner.epoch + 1) / runner.max_epochs,
            health=cluster_health(algorithm.cluster_counts.cpu().numpy()),
            loss=_recent(runner, "train/loss", window),
            chance_loss=algorithm.chance_loss,
            change_ratio=_recent(runner, "train/change_ratio", window),
            zero_share=None
            if zero_rows is None
            else zero_rows * window / len(runner.train_dataloader.dataset),
            spread=feature_spread(features),
            rank_me=rank_me(features),
            feature_dim=algorithm.feature_dim,
            labels_frozen=bool(frozen),
            warming_up=_rate_is_rising(runner),
        )


def _rate_is_rising(runner: Any) -> bool:
    """Whether a warm-up of the learning rate has not reached its end."""
    groups = runner.optim_wrapper.optimizer.param_groups
    rising = any(group["lr"] < group.get("initial_lr", group["lr"]) for group in groups)
    # later in a training a rate below the first one has been lowered on purpose
    return rising and (runner.epoch + 1) / runner.max_epochs <= _WARM_UP_SHARE


def _recent(runner: Any, name: str, window: int) -> float | None:
    """Mean of the last values of a scalar, None if it was never logged."""
    if name not in runner.message_hub.log_scalars:
        return None
    return float(runner.message_hub.get_scalar(name).mean(window))
