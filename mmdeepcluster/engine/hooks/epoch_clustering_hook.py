"""When a method that alternates clusters, and when it stops to."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import DataLoader

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.hooks.checkpoint_hook import EpochCheckpointHook
from mmdeepcluster.engine.hooks.online_clustering_hook import calibrate
from mmdeepcluster.engine.hooks.scalars_hook import update_capped
from mmdeepcluster.engine.launch import from_main
from mmdeepcluster.engine.seeding import derive_seed
from mmdeepcluster.engine.threads import all_cores, cores_of_pass
from mmdeepcluster.evaluation import normalized_mutual_info
from mmdeepcluster.models import AlternatingAlgorithm, ExtractionStoppedError, extract
from mmdeepcluster.registry import HOOKS

_STATE = "clustering"


@HOOKS.register_module()
class EpochClusteringHook(Hook):
    """Starts a cycle every ``interval`` epochs: new features, new clusters, a new head.

    A cycle is counted from 0 and belongs to its epochs, so a run that goes on inside an epoch does
    not cluster again. Halting [0, section 4.2] ends the clusterings: labels stay as they are, and
    no features are extracted any more.

    - [0]: Mustapha, Khreich, Masri: A Deep Dive into Deep Cluster, arXiv 2207.11839.

    Args:
        loader: Batches of the evaluation view, in order; given by the runner's builder.
        interval: Epochs of a cycle. Defaults to 1.
        halt_after: Clusterings after which labels are kept. None, the default, never halts.
        halt_patience: Halts when for so many cycles the NMI between consecutive clusterings was
            not above its best by ``halt_min_rise``. None, the default, never halts.
        halt_min_rise: See ``halt_patience``. Defaults to 0.005.
        reset_head_when_halted: Whether the head still starts anew in each cycle after halting, as
            in the authors' code of [0]. Defaults to False. Changes results.
        calibration_passes: As in :class:`OnlineClusteringHook`, before the first clustering.
            Defaults to 0, the paper. Changes results.
    """

    # Before the process is seeded for the epoch (10), so that what happens here has no part in it.
    priority = 5
    derived_keys = {"loader": "eval_dataloader"}

    def __init__(
        self,
        loader: DataLoader[Any],
        interval: int = 1,
        halt_after: int | None = None,
        halt_patience: int | None = None,
        halt_min_rise: float = 0.005,
        reset_head_when_halted: bool = False,
        calibration_passes: int = 0,
    ) -> None:
        for name, value in (
            ("interval", interval),
            ("halt_after", halt_after),
            ("halt_patience", halt_patience),
        ):
            if value is not None and value < 1:
                raise ValueError(f"default_hooks.clustering.{name} must be >= 1, got {value}")
        if calibration_passes < 0 or halt_min_rise < 0:
            raise ValueError(
                "default_hooks.clustering.calibration_passes and halt_min_rise must be >= 0, got "
                f"{calibration_passes} and {halt_min_rise}"
            )
        self.loader = loader
        self.interval = interval
        self.halt_after = halt_after
        self.halt_patience = halt_patience
        self.halt_min_rise = halt_min_rise
        self.reset_head_when_halted = reset_head_when_halted
        self.calibration_passes = calibration_passes
        self.num_feature_passes = 0
        self._train_start = 0.0

    def before_train(self, runner: Any) -> None:
        """Tells the sampler of the clusters that this process draws from, where not from all."""
        group = _alternating(runner).draw_group
        if group is not None:
            runner.train_dataloader.batch_sampler.sampler.draw_from(*group)

    def before_train_epoch(self, runner: Any) -> None:
        """Starts a cycle if one is due, and tells the sampler of the labels."""
        algorithm = _alternating(runner)
        cycle = runner.epoch // self.interval
        if algorithm.cycle <= cycle:
            self._start_cycle(runner, algorithm, cycle)
        sampler = runner.train_dataloader.batch_sampler.sampler
        if hasattr(sampler, "set_labels"):
            sampler.set_labels(algorithm.labels())
        self._train_start = time.perf_counter()

    def after_train_epoch(self, runner: Any) -> None:
        """Logs how long the epoch of training took."""
        seconds = time.perf_counter() - self._train_start
        _log(runner, {"seconds_train": seconds}, runner.epoch + 1)

    def _start_cycle(self, runner: Any, algorithm: AlternatingAlgorithm, cycle: int) -> None:
        state = runner.hook_state.setdefault(_STATE, {"nmi": [], "halted_at": None})
        if state["halted_at"] is None and self._is_settled(state["nmi"], cycle):
            state["halted_at"] = cycle
            runner.logger.info(
                f"Clustering halted after {cycle} cycles: labels are kept from now on"
            )
        seed = derive_seed(runner.seed, "recluster", cycle)
        if state["halted_at"] is None:
            rewritten = self._cluster(runner, algorithm, cycle, seed)
        else:
            algorithm.keep_clustering()
            rewritten = algorithm.reset_head(seed) if self.reset_head_when_halted else ()
        forget(runner.optim_wrapper.optimizer, rewritten)

    def _is_settled(self, nmi: list[float], cycle: int) -> bool:
        if self.halt_after is not None and cycle >= self.halt_after:
            return True
        if self.halt_patience is None or len(nmi) <= self.halt_patience:
            return False
        best = max(nmi[: -self.halt_patience])
        return max(nmi[-self.halt_patience :]) < best + self.halt_min_rise

    def _cluster(
        self, runner: Any, algorithm: AlternatingAlgorithm, cycle: int, seed: int
    ) -> tuple[nn.Parameter, ...]:
        if cycle == 0:
            calibrate(algorithm, runner.train_dataloader, self.calibration_passes, runner.seed)
        start = time.perf_counter()
        features = algorithm.features_of_training()
        kept = features is not None
        if features is None:
            features = self._features(runner, algorithm)
            self.num_feature_passes += 1
        seconds = {"extract": time.perf_counter() - start}
        with all_cores():
            result = algorithm.recluster(features, seed)
        seconds |= result.seconds
        nmi = self._agreement(algorithm)
        if nmi is not None:
            runner.hook_state[_STATE]["nmi"].append(nmi)
        counts, speed = algorithm.cluster_counts, algorithm.num_samples / seconds["extract"]
        runner.logger.info(
            f"Clustering [{cycle + 1}]  objective: {result.objective:.4f} after "
            f"{result.num_iters} iterations"
            + ("" if nmi is None else f"  NMI to the one before: {nmi:.4f}")
            + f"  sizes: {int(counts.min())} to {int(counts.max())}  "
            + ", ".join(f"{phase} {value:.1f} s" for phase, value in seconds.items())
            + (", features of the training" if kept else f", {speed:.0f} images/s extracted")
        )
        values = {f"seconds_{phase}": value for phase, value in seconds.items()}
        values["objective"] = result.objective
        if not kept:
            values["images_per_second"] = speed
        _log(runner, values, runner.epoch + 1)
        return result.rewritten

    def _features(self, runner: Any, algorithm: AlternatingAlgorithm) -> torch.Tensor:
        """Features to cluster. A signal ends the pass, and the training as before the epoch."""
        savers = [hook for hook in runner.hooks if isinstance(hook, EpochCheckpointHook)]
        share, stop = algorithm.share_to_cluster, runner.stop_request
        try:
            wanted = (lambda: stop.noted) if savers else None
            with cores_of_pass(self.loader):
                return extract(algorithm, self.loader, share=share, stop=wanted)["neck"]
        except ExtractionStoppedError:
            savers[0].stop_before_epoch(runner)
            raise

    def _agreement(self, algorithm: AlternatingAlgorithm) -> float | None:
        """NMI of the labels with those before (R25), computed once and told to all processes."""
        before, now = algorithm.snapshot_labels()
        if before is None:
            return None
        nmi = normalized_mutual_info(before.numpy(), now.numpy()) if is_main_process() else None
        return float(from_main(nmi))


def forget(optimizer: torch.optim.Optimizer, parameters: tuple[nn.Parameter, ...]) -> None:
    """Drops what an optimizer gathered about parameters that were written anew (R9)."""
    for parameter in parameters:
        if not optimizer.defaults.get("fused"):
            optimizer.state.pop(parameter, None)
            continue
        # A fused SGD wants momenta for all parameters of a group or for none.
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, torch.Tensor):
                value.zero_()


def _log(runner: Any, values: dict[str, float], step: int) -> None:
    if is_main_process():
        for name, value in values.items():
            update_capped(runner.message_hub, f"cycle/{name}", float(value))
        runner.visualizer.add_scalars(
            {f"cycle/{name}": value for name, value in values.items()}, step=step
        )


def _alternating(runner: Any) -> AlternatingAlgorithm:
    algorithm = get_algorithm(runner)
    if not isinstance(algorithm, AlternatingAlgorithm):
        raise TypeError(
            "EpochClusteringHook needs a method that alternates such as DeepCluster, got "
            f"model.type={type(algorithm).__name__}"
        )
    return algorithm
