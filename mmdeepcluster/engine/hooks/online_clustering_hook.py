"""When the memory of an online method is filled, updated, refreshed and balanced."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import DataLoader

from mmdeepcluster.datasets import OwnerSampler, end_workers
from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.seeding import derive_seed, seed_everything
from mmdeepcluster.engine.threads import all_cores, cores_of_pass
from mmdeepcluster.models import BaseAlgorithm, OnlineAlgorithm, calibrate_batch_norm, extract
from mmdeepcluster.registry import HOOKS


@HOOKS.register_module()
class OnlineClusteringHook(Hook):
    """Calls the verbs of an online method.

    Before training the memory is filled from one pass over the data set, unless it came with a
    resumed checkpoint. After each optimizer step the features of that step go into the memory,
    the centroids are refreshed every ``centroids_update_interval`` iterations, and clusters that
    became small are dissolved.

    Args:
        loader: Batches of the evaluation view, in order; given by the runner's builder.
        calibration_passes: Augmented training-mode passes, without a step, that set the running
            statistics of batch norm before the features are taken. Without them the first
            clusters are those of a network that does not exist in training, and the first epochs
            destroy them. Defaults to 0, the paper. Changes results.
        label_warmup: Epochs in which the network learns the first labels while features and
            centroids already follow. Defaults to 0, the paper. Changes results.
    """

    # After the report of the untrained network (0), which filling the memory may already change;
    # before the hook that logs the outputs of an iteration (10), which this one adds to.
    priority = 5
    derived_keys = {"loader": "eval_dataloader"}

    def __init__(
        self, loader: DataLoader[Any], calibration_passes: int = 0, label_warmup: int = 0
    ) -> None:
        for name, value in (
            ("calibration_passes", calibration_passes),
            ("label_warmup", label_warmup),
        ):
            if value < 0:
                raise ValueError(f"default_hooks.clustering.{name} must be >= 0, got {value}")
        self.loader = loader
        self.calibration_passes = calibration_passes
        self.label_warmup = label_warmup
        self.num_feature_passes = 0

    def before_train(self, runner: Any) -> None:
        """Fills the memory by one global clustering."""
        algorithm = _online(runner)
        sampler = runner.train_dataloader.batch_sampler.sampler
        if not isinstance(sampler, OwnerSampler):
            raise ConfigError(
                f"train_dataloader.sampler: {type(algorithm).__name__} keeps the rows of a sample "
                f"where OwnerSampler draws it, got {type(sampler).__name__}: leave it out"
            )
        if algorithm.initialized:
            return
        runner.logger.info(f"first clustering of {algorithm.num_samples} samples ...")
        start = time.perf_counter()
        features = self._features(runner, algorithm)
        extracted = time.perf_counter()
        with all_cores():
            seed = derive_seed(runner.seed, "recluster", algorithm.cycle)
            algorithm.recluster(features, seed=seed)
        counts = algorithm.cluster_counts
        runner.logger.info(
            f"first clustering: {algorithm.num_clusters} clusters of {int(counts.min())} to "
            f"{int(counts.max())} samples; features {extracted - start:.1f} s, "
            f"clustering {time.perf_counter() - extracted:.1f} s"
        )

    def _features(self, runner: Any, algorithm: OnlineAlgorithm) -> torch.Tensor:
        calibrate(algorithm, runner.train_dataloader, self.calibration_passes, runner.seed)
        self.num_feature_passes += 1
        with cores_of_pass(self.loader):
            features = extract(algorithm, self.loader, keep=algorithm.rows_to_cluster)["neck"]
        end_workers(self.loader)  # there is no other pass
        return features

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Updates the memory with the features of this iteration."""
        algorithm = _online(runner)
        reassign = runner.epoch >= self.label_warmup
        stats = move_clusters(
            algorithm,
            runner.optim_wrapper.optimizer,
            reassign=reassign,
            refresh=self.every_n_train_iters(runner, algorithm.centroids_update_interval),
            # What an epoch ends with, its labels and sizes, shall hold no small cluster.
            wait=batch_idx + 1 == len(runner.train_dataloader),
        )
        if outputs is not None:
            outputs["change_ratio"] = stats["change_ratio"]
            outputs["health/zero_rows"] = stats["zero_rows"]
            outputs["health/bad_rows"] = stats["bad_rows"]
            outputs["health/labels_frozen"] = not reassign


def move_clusters(
    algorithm: OnlineAlgorithm, optimizer: Any, *, reassign: bool, refresh: bool, wait: bool
) -> dict[str, Any]:
    """What follows a training step: memory, centroids, small clusters.

    Args:
        algorithm: Behind a step.
        optimizer: Forgets what it knows of the rows of the head that begin anew.
        reassign: Whether labels move.
        refresh: Whether centroids become the means of their members.
        wait: Whether small clusters must be gone on return.

    Returns:
        What ``update_memory`` counted.
    """
    stats = algorithm.update_memory(reassign)
    if refresh:
        algorithm.refresh_centroids()
    if reassign:
        for parameter, row in algorithm.balance_clusters(wait=wait):
            reset_optimizer_row(optimizer, parameter, row)
    return stats


def calibrate(algorithm: BaseAlgorithm, loader: Any, num_passes: int, seed: int) -> None:
    """Sets the statistics of batch norm before a first clustering, with a seed of its own."""
    if num_passes:
        seed_everything(derive_seed(seed, "calibration"))
        calibrate_batch_norm(algorithm, loader, num_passes)


def _online(runner: Any) -> OnlineAlgorithm:
    algorithm = get_algorithm(runner)
    if not isinstance(algorithm, OnlineAlgorithm):
        raise TypeError(
            f"OnlineClusteringHook needs an online method such as ODC, got model.type="
            f"{type(algorithm).__name__}"
        )
    return algorithm


def reset_optimizer_row(optimizer: torch.optim.Optimizer, param: nn.Parameter, row: int) -> None:
    """Forgets what an optimizer gathered about one row, which now means another cluster."""
    for value in optimizer.state.get(param, {}).values():
        if isinstance(value, torch.Tensor) and value.shape == param.shape:
            value[row] = 0
