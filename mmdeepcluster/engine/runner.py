"""The runner: MMEngine's, with own checkpoints."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmdeepcluster.clustering import Partition
from mmdeepcluster.datasets import end_workers
from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.checkpoint_io import (
    find_last_checkpoint,
    hub_state,
    load_hub_state,
    pointed_checkpoint,
    read_checkpoint,
    write_atomically,
)
from mmdeepcluster.engine.errors import ConfigError, TrainingError
from mmdeepcluster.engine.launch import from_main
from mmdeepcluster.engine.partial_state import (
    own_optimizer,
    own_weights,
    whole_optimizer,
    whole_weights,
)
from mmdeepcluster.engine.resolve_config import ResolvedConfig
from mmdeepcluster.engine.seeding import config_seed, random_state
from mmdeepcluster.engine.stop_request import StopRequest
from mmdeepcluster.engine.weights_in import read_weights, revised, take_weights
from mmdeepcluster.models import BaseAlgorithm
from mmdeepcluster.registry import ALGORITHMS, RUNNERS, find_component
from mmdeepcluster.version import __version__

FORMAT = 2
IDENTITY = "mmdeepcluster"


@RUNNERS.register_module()
class DeepClusterRunner(Runner):
    """MMEngine's runner with checkpoints that are atomic, plain, and know what they belong to.

    ``Runner.save_checkpoint`` of MMEngine 0.10.7 writes in place and stores objects that
    ``weights_only=True`` refuses, and its loading is silent about what does not fit; see
    :mod:`mmdeepcluster.engine.checkpoint_io`.

    Args:
        dataset_fingerprint: Identity of the data set, compared on resume.
        **kwargs: Arguments of MMEngine's ``Runner``.
    """

    # Attributes of MMEngine's runner that this class sets.
    _has_loaded: bool
    optim_wrapper: Any
    param_schedulers: Any

    def __init__(self, *, dataset_fingerprint: str, **kwargs: Any) -> None:
        self.dataset_fingerprint = dataset_fingerprint
        # What hooks keep in the checkpoint: plain numbers, strings, lists and dicts by hook.
        self.hook_state: dict[str, Any] = {}
        self.stop_request = StopRequest()
        super().__init__(**kwargs)

    def train(self) -> nn.Module:
        """Trains to the end, or until a signal asks it to save and stop; ends data workers."""
        try:
            with self.stop_request.listening():
                return super().train()
        finally:
            for owner in (self._train_loop, *self._hooks):
                end_workers(getattr(owner, "loader", getattr(owner, "dataloader", None)))

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Deals the memory to the processes and lets them share gradients.

        MMEngine 0.10.7 names a GPU also where there is none, and its wrapper would overwrite the
        rows of every process by those of the first.

        Raises:
            ValueError: If a wrapper is asked for; there is one that fits.
        """
        if model_wrapper_cfg is not None:
            raise ValueError("model_wrapper_cfg: leave it out, the wrapper is chosen")
        algorithm = model
        if not isinstance(algorithm, BaseAlgorithm):
            raise TypeError(f"model.type must be an algorithm, got {type(model).__name__}")
        channels_last = self.cfg.get("channels_last")
        if channels_last is None:
            channels_last = get_device() == "cpu"
        if channels_last:
            algorithm.use_channels_last()
        kind = self.cfg.get("sync_bn")
        if kind not in (None, "torch", "mmcv"):
            raise ValueError(f"sync_bn must be 'torch', 'mmcv' or None, got {kind!r}")
        if not self.distributed or self.world_size == 1:
            return algorithm.to(get_device())
        algorithm.shard(
            Partition(algorithm.num_samples, self.seed or 0, self.rank, self.world_size)
        )
        model = algorithm.to(get_device())
        on_gpu = next(model.parameters()).is_cuda
        if kind is not None and on_gpu:
            model = convert_sync_batchnorm(model, kind)
        elif kind is not None:
            self.logger.info(
                "sync_bn: batch norm over processes works on GPUs alone; on CPUs each process "
                "normalises its own batch"
            )
        saved = model.state_dict().keys()
        own = [name for name, _ in model.named_buffers() if name not in saved]
        own += algorithm.partial_parameters()
        MMDistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, own)
        # After the first iteration torch deals gradients to buckets anew, unless it looks for
        # unused parameters. From three processes on sums depend on the place in a bucket, so a
        # resumed training would differ from one that was not interrupted.
        keeps_buckets = not on_gpu and self.world_size > 2
        with warnings.catch_warnings():
            # Newer versions of torch have two options for it, older ones this one alone.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            return MMDistributedDataParallel(
                module=model,
                device_ids=[torch.cuda.current_device()] if on_gpu else None,
                broadcast_buffers=False,
                find_unused_parameters=self.cfg.get("find_unused_parameters", False)
                or keeps_buckets,
            )

    def _maybe_compile(self, target: str) -> None:
        """Compiles the backbone, if ``cfg.compile`` says so.

        MMEngine 0.10.7 compiles the whole training step, where the label lookup, the features kept
        for the memory and the optimizer would break the program apart or be compiled anew.
        """
        options = self.cfg.get("compile")
        if options is None or options is False:
            return
        get_algorithm(self).compile_backbone(**({} if options is True else options))
        self.logger.info("compile: the first iterations take long, while the backbone is compiled")

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with before its cluster state is loaded."""
        return identity(get_algorithm(self), self.dataset_fingerprint)

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict[str, Any] | None = None
    ) -> None:
        """Scales learning rates by ``batch size / base_batch_size`` (arXiv 1706.02677).

        MMEngine 0.10.7 reads the batch size off the loader, where it is None when a batch sampler
        makes the batches.
        """
        if not auto_scale_lr or not auto_scale_lr.get("enable", False):
            return
        base = auto_scale_lr["base_batch_size"]
        batch_size = self.train_dataloader.batch_sampler.batch_size * self.world_size
        for group in optim_wrapper.optimizer.param_groups:
            group["lr"] *= batch_size / base
        self.logger.info(
            f"learning rates scaled by {batch_size / base:g}: batches of {batch_size}, "
            f"configured for {base}"
        )

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        """Saves everything that a resumed run needs; same arguments as MMEngine's. Collective.

        Raises:
            ValueError: If a remote back end is asked for; checkpoints are local files.
            TrainingError: If the main process cannot write the file, on every process.
        """
        if file_client_args is not None or backend_args is not None:
            raise ValueError("checkpoints are local files: file_client_args, backend_args no use")
        meta = dict(meta or {})
        meta.setdefault("epoch", self.epoch + 1 if by_epoch else self.epoch)
        meta.setdefault("iter", self.iter if by_epoch else self.iter + 1)
        meta |= {
            "cfg": self.cfg.pretty_text,
            "seed": self.seed,
            "experiment_name": self.experiment_name,
            "time": time.strftime("%Y%m%d_%H%M%S", time.localtime()),
            "mmengine_version": mmengine.__version__,
            "mmdeepcluster_version": __version__,
        }
        meta |= self._geometry()
        algorithm = get_algorithm(self)
        checkpoint: dict[str, Any] = {
            "meta": meta,
            IDENTITY: self.identity(),
            "state_dict": whole_weights(algorithm),
            "cluster_state": algorithm.cluster_state(),
            "hook_state": self.hook_state,
        }
        if meta.get("batch_in_epoch"):
            # At the start of an epoch every process is seeded anew.
            checkpoint["random_states"] = all_gather_object(random_state())
        if save_optimizer:
            checkpoint["optimizer"] = whole_optimizer(self.optim_wrapper, algorithm)
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint["param_schedulers"] = [
                _plain(scheduler.state_dict()) for scheduler in self.param_schedulers
            ]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoint["message_hub"] = hub_state(self.message_hub)
        problem = None
        if is_main_process():
            try:
                write_atomically(Path(out_dir) / filename, checkpoint)
            except OSError as error:
                problem = str(error)
        problem = from_main(problem)
        if problem is not None:
            last = pointed_checkpoint(out_dir)
            raise TrainingError(
                f"cannot save {Path(out_dir) / filename}: {problem}; "
                + (f"{last} is intact, --resume continues from it" if last else "nothing was saved")
            )

    def _geometry(self) -> dict[str, int]:
        """What a position inside an epoch depends on."""
        return {
            "world_size": self.world_size,
            "batch_size": self.train_dataloader.batch_sampler.batch_size,
            "epoch_length": len(self.train_dataloader),
        }

    def load_or_resume(self) -> None:
        """Continues an interrupted run (``resume``) or starts from weights (``load_from``)."""
        if self._has_loaded:
            return
        if self._resume:
            path = self._load_from or find_last_checkpoint(self.work_dir)
            if path is None:
                raise ConfigError(f"resume=True, but there is no checkpoint in {self.work_dir}")
            self.resume(str(path))
        elif self._load_from:
            self.load_checkpoint(self._load_from, strict=self.cfg.get("load_from_strict", True))
        self._has_loaded = True

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Continues exactly where a checkpoint of the same method, K and data set was saved.

        With another number of processes, or another batch size, the epochs that are done are
        kept, an epoch that was interrupted is begun again, and the schedules are run up to there.

        Raises:
            ConfigError: If the file is damaged or belongs to something else.
        """
        checkpoint = read_checkpoint(filename)
        restore_algorithm(checkpoint, get_algorithm(self), self.dataset_fingerprint, filename)
        load_hub_state(self.message_hub, checkpoint["message_hub"])
        self.hook_state = checkpoint["hook_state"]
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        if resume_optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if resume_param_scheduler and self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        meta = checkpoint["meta"]
        changed = {
            name: (meta[name], value)
            for name, value in self._geometry().items()
            if meta[name] != value
        }
        if changed:
            self._resume_elsewhere(checkpoint, changed)
        else:
            self._resume_exactly(checkpoint, resume_optimizer, resume_param_scheduler)
        self.logger.info(f"resumed {filename} at epoch {self.epoch}, iteration {self.iter}")

    def _resume_exactly(self, checkpoint: dict[str, Any], optimizer: bool, schedules: bool) -> None:
        meta, states = checkpoint["meta"], checkpoint.get("random_states")
        self.train_loop.start_at(
            meta["epoch"],
            meta["iter"],
            meta.get("batch_in_epoch", 0),
            None if states is None else states[self.rank],
        )
        if optimizer:
            self.optim_wrapper.load_state_dict(self._own_optimizer(checkpoint))
        if schedules and self.param_schedulers is not None:
            saved = checkpoint["param_schedulers"]
            for scheduler, state in zip(self.param_schedulers, saved, strict=True):
                scheduler.load_state_dict(state)

    def _own_optimizer(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        saved = [len(group["params"]) for group in checkpoint["optimizer"]["param_groups"]]
        now = [len(group["params"]) for group in self.optim_wrapper.optimizer.param_groups]
        if saved != now:
            raise ConfigError(
                f"the checkpoint's optimizer has {len(saved)} groups of {saved[:4]}... parameters, "
                f"this one {len(now)} of {now[:4]}...: resume with the optim_wrapper.paramwise_cfg "
                "and the version it was saved with; load_from without --resume starts from its "
                "weights alone"
            )
        return own_optimizer(checkpoint["optimizer"], self.optim_wrapper, get_algorithm(self))

    def _resume_elsewhere(
        self, checkpoint: dict[str, Any], changed: dict[str, tuple[int, int]]
    ) -> None:
        """Goes on at the start of an epoch, with learning rates for the batches of now."""
        meta = checkpoint["meta"]
        epoch, length = meta["epoch"], len(self.train_dataloader)
        self.train_loop.start_at(epoch, epoch * length)
        differences = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
        repeated = meta.get("batch_in_epoch", 0)
        self.logger.warning(
            f"resumed with {differences}: continues at the start of epoch {epoch + 1}"
            + (f", whose first {repeated} iterations are done again" if repeated else "")
        )
        # Momenta are kept; rates are those that this run was configured with, scaled where asked.
        state = self.optim_wrapper.state_dict()
        state["state"] = self._own_optimizer(checkpoint)["state"]
        if "loss_scaler" in checkpoint["optimizer"] and "loss_scaler" in state:
            state["loss_scaler"] = checkpoint["optimizer"]["loss_scaler"]
        self.optim_wrapper.load_state_dict(state)
        schedulers: Any = self.param_schedulers
        schedulers = [] if schedulers is None else schedulers
        if not isinstance(schedulers, list):
            raise ConfigError("param_scheduler must be one list to resume with other processes")
        with warnings.catch_warnings():
            # There was no step of the optimizer yet, which torch would take for a mistake.
            warnings.filterwarnings("ignore", message="Detected call of")
            for _ in range(epoch):
                for scheduler in schedulers:
                    for _ in range(1 if scheduler.by_epoch else length):
                        scheduler.step()

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = "cpu",
        strict: bool = True,
        revise_keys: Any = (),
    ) -> dict[str, Any]:
        """Takes the backbone, and a neck that fits, of a file and says what fitted.

        Same arguments as MMEngine's, which would load whatever happens to fit.

        Raises:
            ConfigError: If the file cannot be read or, unless ``strict`` is False, the backbone is
                not there as a whole; see :func:`~mmdeepcluster.engine.weights_in.load_weights`.
        """
        content = read_weights(filename)
        for pattern, replacement in revise_keys:
            content = revised(content, pattern, replacement)
        match = take_weights(
            get_algorithm(self),
            content,
            f"load_from={filename}",
            strict,
            way_out="load_from_strict=False",
        )
        self.logger.info("\n  ".join([f"load_from: {filename}", *match.lines()]))
        return content


def identity(algorithm: BaseAlgorithm, dataset_fingerprint: str) -> dict[str, Any]:
    """Method, sizes and data set, in plain values."""
    return {
        "format": FORMAT,
        "method": type(algorithm).__name__,
        "num_samples": algorithm.num_samples,
        "num_clusters": algorithm.num_clusters,
        "feature_dim": algorithm.feature_dim,
        "dataset_fingerprint": dataset_fingerprint,
    }


def restore_algorithm(
    checkpoint: dict[str, Any], algorithm: BaseAlgorithm, dataset_fingerprint: str, source: str
) -> None:
    """Gives an algorithm the weights and cluster state of a checkpoint that belongs to it.

    Raises:
        ConfigError: If it is of another method, size or data set, naming both values; nothing was
            loaded then.
    """
    found = checkpoint.get(IDENTITY)
    if not isinstance(found, dict):
        raise ConfigError(
            f"{source} is not a checkpoint of mmdeepcluster; to start from its weights alone use "
            "load_from without --resume"
        )
    differing = [
        f"{name} {found.get(name)!r} (now {value!r})"
        for name, value in identity(algorithm, dataset_fingerprint).items()
        if found.get(name) != value
    ]
    if differing:
        raise ConfigError(
            f"{source} belongs to another training: {', '.join(differing)}; to start from its "
            "weights alone use load_from without --resume"
        )
    try:
        algorithm.load_state_dict(own_weights(checkpoint["state_dict"], algorithm), strict=True)
        algorithm.load_cluster_state(checkpoint["cluster_state"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source} does not fit this config: {reason}") from error


def build_algorithm(resolved: ResolvedConfig) -> BaseAlgorithm:
    """Builds the algorithm of a config, untrained, without a runner.

    If the seed was set just before (``seed_everything``), its weights are those that a training
    with this seed starts from, apart from ``model.init_cfg``, which ``init_weights`` applies.
    """
    cfg = resolved.cfg
    model = dict(cfg.model.to_dict())
    model = find_component(ALGORITHMS, model["type"]).config_to_use(model)
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", cfg.data_preprocessor.to_dict())
    algorithm: BaseAlgorithm = ALGORITHMS.build(model)
    return algorithm


def load_algorithm(resolved: ResolvedConfig, path: str | Path) -> BaseAlgorithm:
    """Builds the algorithm of a config and restores a checkpoint into it, without a runner.

    Raises:
        ConfigError: If the checkpoint is damaged or belongs to something else.
    """
    cfg = resolved.cfg
    algorithm = build_algorithm(resolved)
    seed = config_seed(cfg)
    algorithm.shard(Partition(algorithm.num_samples, seed, get_rank(), get_world_size()))
    try:
        fingerprint = resolved.dataset.fingerprint()
    except OSError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    restore_algorithm(read_checkpoint(path), algorithm, fingerprint, str(path))
    return algorithm


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Keeps the entries of a scheduler's state that are numbers, strings or containers of them."""
    return {k: v for k, v in state.items() if not callable(v)}
