"""What is said of the clusters while they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.hooks.scalars_hook import update_capped
from mmdeepcluster.evaluation import (
    adjusted_mutual_info,
    cluster_entropies,
    cluster_health,
    normalized_mutual_info,
)
from mmdeepcluster.registry import HOOKS


@HOOKS.register_module()
class ClusterMetricsHook(Hook):
    """Sizes of the clusters every ``interval`` iterations; agreement after each epoch.

    Logged (R14, R25 to R28): ``num_empty``, ``min_size``, ``max_size``, ``effective_clusters``;
    after each epoch ``nmi_previous``, the NMI with the labels before (of the epoch before, or of
    the cycle before where clusterings and epochs alternate); with known labels ``nmi`` and
    ``ami`` to them, and how mixed the clusters are (R29): ``mean_entropy`` in nats and
    ``mean_noise``, the share outside of a cluster's commonest label, each the mean over non-empty
    clusters. Known labels are read here and in the report and nowhere else.

    Args:
        eval_labels: Known labels (N,) or None; given by the runner's builder.
        interval: Iterations between logs of the sizes. Defaults to 50, as the released ODC code.
        label_interval: Epochs between comparisons with known labels. Defaults to 1.
        save_labels_interval: Epochs between files ``labels_epoch_*.npy``; the last epoch is
            always saved. Defaults to 10.
    """

    derived_keys = {"eval_labels": "the data set"}

    def __init__(
        self,
        eval_labels: np.ndarray | None = None,
        interval: int = 50,
        label_interval: int = 1,
        save_labels_interval: int = 10,
    ) -> None:
        for name, value in (
            ("interval", interval),
            ("label_interval", label_interval),
            ("save_labels_interval", save_labels_interval),
        ):
            if value < 1:
                raise ValueError(f"default_hooks.cluster_metrics.{name} must be >= 1, got {value}")
        self.eval_labels = eval_labels
        self.interval = interval
        self.label_interval = label_interval
        self.save_labels_interval = save_labels_interval

    def before_train(self, runner: Any) -> None:
        """Describes the clusters that training starts from."""
        algorithm = get_algorithm(runner)
        if runner.epoch == 0 and algorithm.initialized:
            labels = algorithm.labels()
            if is_main_process():
                self._log_epoch(runner, 0, self._agreement(labels))

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Logs the sizes of the clusters."""
        if self.every_n_train_iters(runner, self.interval):
            health = cluster_health(get_algorithm(runner).cluster_counts.cpu().numpy()).as_dict()
            for name in ("num_empty", "min_size", "max_size", "effective_clusters"):
                update_capped(runner.message_hub, f"clusters/{name}", health[name])
            runner.visualizer.add_scalars(
                {f"clusters/{name}": value for name, value in health.items()},
                step=runner.iter + 1,
            )

    def after_train_epoch(self, runner: Any) -> None:
        """Compares the labels with those of the epoch before and with known ones."""
        epoch = runner.epoch + 1
        before, now = get_algorithm(runner).snapshot_labels()
        if not is_main_process():
            return
        values = {}
        if before is not None:
            values["nmi_previous"] = normalized_mutual_info(_array(before), _array(now))
        if self.every_n_epochs(runner, self.label_interval) or self.is_last_train_epoch(runner):
            values |= self._agreement(now)
        self._log_epoch(runner, epoch, values)
        if self.every_n_epochs(runner, self.save_labels_interval) or self.is_last_train_epoch(
            runner
        ):
            np.save(Path(runner.work_dir) / f"labels_epoch_{epoch}.npy", _array(now))

    def _agreement(self, labels: Tensor) -> dict[str, float]:
        if self.eval_labels is None:
            return {}
        assignments, known = _array(labels), self.eval_labels
        mixture = cluster_entropies(assignments, known)
        return {
            "nmi": normalized_mutual_info(assignments, known),
            "ami": adjusted_mutual_info(assignments, known),
            "mean_entropy": mixture.mean_entropy,
            "mean_noise": mixture.mean_noise,
        }

    def _log_epoch(self, runner: Any, epoch: int, values: dict[str, float]) -> None:
        health = cluster_health(get_algorithm(runner).cluster_counts.cpu().numpy())
        agreement = "".join(f"  {name}: {value:.4f}" for name, value in values.items())
        runner.logger.info(
            f"Clusters [{epoch}]{agreement}  sizes: {health.min_size} to {health.max_size}  "
            f"empty: {health.num_empty}  effective: {health.effective_clusters:.1f} of "
            f"{health.num_clusters}"
        )
        values = values | health.as_dict()
        for name, value in values.items():
            update_capped(runner.message_hub, f"epoch/{name}", float(value))
        runner.visualizer.add_scalars(
            {f"epoch/{name}": value for name, value in values.items()}, step=epoch
        )


def _array(labels: Tensor) -> np.ndarray:
    array: np.ndarray = labels.cpu().numpy()
    return array
