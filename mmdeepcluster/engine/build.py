"""Builds loaders and the runner from a resolved config."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size, is_distributed
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdeepcluster.datasets import (
    TRANSFORM_BACKENDS,
    BaseImageDataset,
    ImageView,
    OpenCVView,
    UniformClusterSampler,
    build_eval_loader,
    build_train_loader,
)
from mmdeepcluster.datasets.device_loader import HeldLoader, WorkerLoader
from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.config_schema import did_you_mean
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.evaluation_options import EvaluationOptions
from mmdeepcluster.engine.resolve_config import ResolvedConfig, build_dataset
from mmdeepcluster.engine.runner import DeepClusterRunner
from mmdeepcluster.engine.train_loop import ResumableTrainLoop
from mmdeepcluster.models import BaseAlgorithm, DeeperCluster
from mmdeepcluster.models.algorithms.memory_estimate import device_memory, main_memory, readable
from mmdeepcluster.registry import ALGORITHMS, SCOPE

DEFAULT_SEED = 0
TrainLoader = DataLoader[dict[str, Any]] | HeldLoader | WorkerLoader


def eval_loader(
    resolved: ResolvedConfig,
    dataset: BaseImageDataset,
    indices: list[int] | None = None,
    keep: bool = False,
) -> DataLoader[Any]:
    """Loader of a data set through the evaluation pipeline, in order; this process's batches.

    Args:
        resolved: what the pipeline and the options are taken from.
        dataset: the images.
        indices: samples to visit. Defaults to None, all.
        keep: whether the loader will be passed over again and again.
    """
    cfg = resolved.cfg
    view = _view(cfg, dataset, "eval_pipeline")
    return build_eval_loader(
        view,
        indices=indices,
        rank=get_rank(),
        world_size=get_world_size(),
        keep=keep,
        **cfg.eval_dataloader,
    )


def train_loader(resolved: ResolvedConfig) -> TrainLoader:
    """Loader of this process's draws of the data set through the training pipeline.

    Its ``dataset`` is the view of that pipeline.

    Raises:
        ConfigError: If the pipeline does not fit the first image, or the loader refuses an option.
    """
    cfg = resolved.cfg
    view = _view(cfg, resolved.dataset, "train_pipeline")
    try:
        return build_train_loader(
            view,
            seed=_randomness(cfg)["seed"],
            rank=get_rank(),
            world_size=get_world_size(),
            device=get_device(),
            **cfg.train_dataloader,
        )
    except (ValueError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _randomness(cfg: Config) -> dict[str, Any]:
    return {"seed": DEFAULT_SEED, **(cfg.get("randomness") or {})}


def _view(cfg: Config, dataset: BaseImageDataset, name: str) -> ImageView:
    """A data set through the pipeline of that name, whose first image is tried.

    Raises:
        ConfigError: If that image cannot be read (``dataset.unreadable='trust'`` had nobody look),
            or the pipeline does not fit it.
    """
    view = ImageView
    if name == "train_pipeline" and _train_transforms(cfg) == "opencv":
        view = OpenCVView
    try:
        return view(dataset, cfg[name], name=name)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _train_transforms(cfg: Config) -> str:
    """Value of ``train_dataloader.transforms``.

    Raises:
        ConfigError: It is none of those there are.
    """
    chosen = cfg.train_dataloader.get("transforms", "torchvision")
    if chosen not in TRANSFORM_BACKENDS:
        known = ", ".join(map(repr, TRANSFORM_BACKENDS))
        raise ConfigError(f"train_dataloader.transforms must be one of {known}, got {chosen!r}")
    return str(chosen)


def heldout_dataset(resolved: ResolvedConfig) -> BaseImageDataset | None:
    """The split of the same data set that training does not see, or None.

    Raises:
        ConfigError: If ``evaluation.test_split`` is no split of the data set.
    """
    split = resolved.cfg.get("evaluation", {}).get("test_split")
    if split is None:
        return None
    return build_dataset({**resolved.cfg.dataset, "split": split})


def build_runner(resolved: ResolvedConfig) -> DeepClusterRunner:
    """Builds the runner with everything that the config leaves to be derived.

    Raises:
        ConfigError: If a component refuses its options.
    """
    cfg, dataset = resolved.cfg, resolved.dataset
    init_default_scope(cfg.get("default_scope", SCOPE))
    randomness = _randomness(cfg)
    loader = train_loader(resolved)
    view: Any = loader.dataset
    memory = _check_memory(resolved)
    try:
        runner = DeepClusterRunner(
            dataset_fingerprint=dataset.fingerprint(),
            model=copy.deepcopy(cfg.model.to_dict()),
            work_dir=cfg.work_dir,
            train_dataloader=loader,
            train_cfg=_train_cfg(cfg),
            auto_scale_lr=_auto_scale_lr(cfg),
            optim_wrapper=cfg.optim_wrapper,
            param_scheduler=cfg.get("param_scheduler"),
            data_preprocessor=cfg.get("data_preprocessor"),
            default_hooks=_hooks(resolved),
            custom_hooks=cfg.get("custom_hooks"),
            load_from=cfg.get("load_from"),
            resume=cfg.get("resume", False),
            # The processes have joined already; this says that there are several.
            launcher="pytorch" if is_distributed() else "none",
            env_cfg=cfg.get("env_cfg", {}),
            log_processor=cfg.get("log_processor"),
            log_level=cfg.get("log_level", "INFO"),
            visualizer=_visualizer(cfg),
            default_scope=cfg.get("default_scope", SCOPE),
            randomness=randomness,
            experiment_name=cfg.get("experiment_name") or _experiment_name(cfg),
            cfg=cfg,
        )
    except (ValueError, TypeError, KeyError, ImportError, FileNotFoundError) as error:
        raise _refusal(error) from error
    if memory is not None:
        runner.logger.info(f"memory of a process: {memory}")
    _check_custom_keys(cfg, runner)
    _check_grouped(cfg, runner)
    _check_forward(runner, [view, _view(cfg, dataset, "eval_pipeline")])
    _check_probe_layer(resolved, runner)
    return runner


def _refusal(error: Exception) -> ConfigError:
    """What a component that refuses its options has to say."""
    # The text of a KeyError is its key in quotes.
    return ConfigError(str(error.args[0] if isinstance(error, KeyError) and error.args else error))


def without_weights(model: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model without weights that would have to be fetched."""
    found: dict[str, Any] = copy.deepcopy(dict(model))
    if "pretrained" in found["backbone"]:
        found["backbone"]["pretrained"] = False
    return found


def build_on_meta(model: Mapping[str, Any]) -> BaseAlgorithm:
    """The algorithm of a config on the meta device, where it takes no memory; without weights.

    Raises:
        NotImplementedError: A component computes with numbers while it is built, and has none.
        RuntimeError: The same.
    """
    with torch.device("meta"):
        algorithm: BaseAlgorithm = ALGORITHMS.build(without_weights(model))
    return algorithm


def _check_memory(resolved: ResolvedConfig) -> str | None:
    """What a process will need, in words; refuses what it does not have."""
    try:
        algorithm = build_on_meta(resolved.cfg.model.to_dict())
    except (NotImplementedError, RuntimeError) as error:
        return f"not estimated ({' '.join(str(error).split())})"
    except (ValueError, TypeError, KeyError, ImportError) as error:
        raise _refusal(error) from error
    estimate = algorithm.memory_estimate(get_world_size())
    if estimate is None:
        return None
    on_device, in_main = estimate.device, estimate.features
    if not torch.cuda.is_available():
        on_device, in_main = 0, on_device + in_main
    for needed, there, place in (
        (on_device, device_memory(), "its GPU has"),
        (in_main, main_memory(), "its part of the main memory is"),
    ):
        if needed > there:
            raise ConfigError(
                f"a process needs {estimate}; {place} {readable(there)}: start more processes"
                + _grouped_remedy(algorithm)
                + ", or lower model.num_clusters or model.feature_transform.dim"
            )
    return str(estimate)


def _grouped_remedy(algorithm: BaseAlgorithm) -> str:
    if not isinstance(algorithm, DeeperCluster) or algorithm.head_group is not None:
        return ""
    number = algorithm.num_rotations * algorithm.num_super_clusters
    return f" (a multiple of {number}, with model.grouped=True, share the classifiers)"


def _check_probe_layer(resolved: ResolvedConfig, runner: DeepClusterRunner) -> None:
    """Refuses a layer for the final probe that the network does not have."""
    layer = EvaluationOptions.from_config(resolved.cfg).probe_layer
    if layer is None:
        return
    algorithm = get_algorithm(runner)
    view = _view(resolved.cfg, resolved.dataset, "eval_pipeline")
    try:
        with torch.no_grad():
            algorithm.extract(algorithm.blank_inputs(view.image_shape), (layer,))
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"evaluation.probe_layer: {' '.join(str(error).split())}") from error


def _check_custom_keys(cfg: Any, runner: DeepClusterRunner) -> None:
    """Refuses optimizer settings for parameters that there are not; MMEngine ignores them."""
    names = [name for name, _ in get_algorithm(runner).named_parameters()]
    custom = (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys") or {}
    for key in custom:
        if not any(key in name for name in names):
            modules = sorted({name.split(".")[0] for name in names})
            raise ConfigError(
                f"optim_wrapper.paramwise_cfg.custom_keys.{key}: no parameter of the model has "
                f"this in its name; {did_you_mean(key, modules)}"
            )


def _check_grouped(cfg: Any, runner: DeepClusterRunner) -> None:
    """Refuses what would make the processes of different groups go different ways."""
    algorithm = get_algorithm(runner)
    if algorithm.head_group is None:
        return
    kind = cfg.optim_wrapper.get("type", "OptimWrapper")
    if cfg.optim_wrapper.get("clip_grad"):
        raise ConfigError(
            "optim_wrapper.clip_grad: with model.grouped=True no process sees all gradients: leave "
            "it out, or set model.grouped=False"
        )
    if kind == "AmpOptimWrapper":
        raise ConfigError(
            "optim_wrapper.type='AmpOptimWrapper': with model.grouped=True the scale of the loss "
            "would differ between processes: use BFloat16OptimWrapper (--amp where the GPU has "
            "bfloat16)"
        )
    sampler = runner.train_dataloader.batch_sampler.sampler
    if not isinstance(sampler, UniformClusterSampler):
        raise ConfigError(
            "train_dataloader.sampler: model.grouped=True needs UniformClusterSampler, which "
            f"draws the samples of a super-class, got {type(sampler).__name__}"
        )
    if cfg.get("sync_bn") is None and any(isinstance(m, _BatchNorm) for m in algorithm.modules()):
        runner.logger.warning(
            "sync_bn is None: with model.grouped=True each process sees one rotation and one "
            "super-cluster, and statistics of its batches alone give them away; set "
            "sync_bn='torch' on GPUs"
        )


def _check_forward(runner: DeepClusterRunner, views: Sequence[ImageView]) -> None:
    """Runs a blank image of each view's shape through the model, before anything expensive."""
    algorithm = get_algorithm(runner)
    algorithm.eval()
    for view in views:
        try:
            if view.name == "train_pipeline":
                algorithm.check_images(view.image_shape)
            with torch.no_grad():
                algorithm.extract(algorithm.blank_inputs(view.image_shape), ("neck",))
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"images of {view.name} do not fit the model: {' '.join(str(error).split())}"
            ) from error


_run_numbers = itertools.count()


def _experiment_name(cfg: Any) -> str:
    """A name of this run alone.

    MMEngine keeps logs and scalars by it, and its own name is the same for two runs that one
    process starts within a second: they would share them.
    """
    stem = Path(cfg.filename).stem if cfg.filename else "run"
    return f"{stem}_{time.strftime('%Y%m%d_%H%M%S')}_{next(_run_numbers)}"


def _train_cfg(cfg: Any) -> dict[str, Any]:
    loop = {k: v for k, v in cfg.train_cfg.items() if k != "by_epoch"}
    return {"type": ResumableTrainLoop, **loop}


def _auto_scale_lr(cfg: Any) -> dict[str, Any] | None:
    """MMEngine reads the batch size from a loader that has one; ours makes its own batches."""
    scale = cfg.get("auto_scale_lr")
    if not scale or not scale.get("enable", False):
        return None
    if "base_batch_size" not in scale:
        raise ConfigError("auto_scale_lr.base_batch_size: --auto-scale-lr needs it")
    return dict(scale)


def _visualizer(cfg: Any) -> dict[str, Any] | None:
    visualizer = cfg.get("visualizer")
    backends = cfg.get("vis_backends")
    if visualizer is None and backends is None:
        return None
    merged = dict(visualizer or {"type": "Visualizer"})
    if backends is not None:
        merged["vis_backends"] = backends
    return merged


def _hooks(resolved: ResolvedConfig) -> dict[str, Any]:
    """Hooks of the config, given what they need of the data set."""
    cfg, dataset = resolved.cfg, resolved.dataset
    hooks: dict[str, Any] = {}
    limit = cfg.eval_dataloader.get("in_memory_limit")
    for name, hook in (cfg.get("default_hooks") or {}).items():
        if not isinstance(hook, Mapping):
            hooks[name] = hook
            continue
        hook = dict(hook)
        if hook["type"] in ("OnlineClusteringHook", "EpochClusteringHook"):
            repeated = hook["type"] == "EpochClusteringHook"
            if limit is not None and not repeated:
                raise ConfigError(
                    f"eval_dataloader.in_memory_limit={limit} is of methods that pass over all "
                    f"images again and again, {hook['type']} does so once: leave it out"
                )
            hook["loader"] = eval_loader(resolved, dataset, keep=repeated)
        elif hook["type"] == "ClusterMetricsHook":
            hook["eval_labels"] = dataset.eval_labels
        elif hook["type"] == "ReportHook":
            hook["resolved"] = resolved
        hooks[name] = hook
    return hooks


def default_work_dir(config_file: str | Path) -> str:
    """``work_dirs/<config stem>``, where OpenMMLab projects put their results."""
    return str(Path("work_dirs") / Path(config_file).stem)
