"""Optimizer, schedules and runtime of an mmselfsup config."""

from __future__ import annotations

import re
from typing import Any

from mmengine.config import Config

from mmdeepcluster.apis.mmselfsup.source import Source

_OURS = "ours has its own"
# Hooks that are the same class in MMEngine, and in every config of ours.
_SHARED_HOOKS = ("IterTimerHook", "ParamSchedulerHook", "DistSamplerSeedHook", "RuntimeInfoHook")


def convert_training(source: Source, cfg: Config) -> None:
    """Writes optimizer, schedules, length and runtime."""
    _optimizer(source, cfg)
    _schedule(source, cfg)
    epochs = source.take("total_epochs", source.take("runner.max_epochs"))
    epochs = source.take("train_cfg.max_epochs", epochs)
    if epochs is not None:
        cfg.train_cfg.max_epochs = epochs
    source.take("train_cfg.type")
    source.take("train_cfg.by_epoch")
    source.take("runner.type")
    _hooks(source, cfg)
    _runtime(source, cfg)


def _optimizer(source: Source, cfg: Config) -> None:
    wrapped = source.get("optim_wrapper") is not None
    path = "optim_wrapper.optimizer" if wrapped else "optimizer"
    optimizer = dict(source.take(path) or {})
    custom = _custom_keys(source, optimizer.pop("paramwise_options", None), f"{path}.paramwise")
    if optimizer:
        cfg.optim_wrapper.optimizer = optimizer
    paramwise = source.take("optim_wrapper.paramwise_cfg")
    if paramwise is not None:
        custom = dict(paramwise.get("custom_keys", {}))
        rest = {k: v for k, v in paramwise.items() if k != "custom_keys"}
        cfg.optim_wrapper.paramwise_cfg = {**rest, "custom_keys": custom}
    elif custom:
        cfg.optim_wrapper.paramwise_cfg = {"custom_keys": custom}
    kind = source.take("optim_wrapper.type", "OptimWrapper")
    cfg.optim_wrapper.type = kind
    scale = source.take("optim_wrapper.loss_scale")
    if scale is not None and kind == "AmpOptimWrapper":
        cfg.optim_wrapper.loss_scale = scale
    clip = source.take("optim_wrapper.clip_grad", source.take("optimizer_config.grad_clip"))
    if clip is not None:
        cfg.optim_wrapper.clip_grad = clip
    if source.take("optimizer_config.update_interval", 1) != 1:
        source.left["optimizer_config.update_interval"] = "use larger batches"
    if source.get("optimizer_config") == {}:
        source.take("optimizer_config")


def _custom_keys(source: Source, options: Any, path: str) -> dict[str, Any]:
    """Regular expressions of parameter names as parts of these names, where they are that."""
    custom = {}
    for pattern, values in (options or {}).items():
        name = re.sub(r"^\\A|^\^|\\?\.$|\\", "", pattern)
        if re.search(r"[(|*+\[?]", name):
            source.left[f"{path}.{pattern}"] = "write it as paramwise_cfg.custom_keys"
        else:
            custom[name] = dict(values)
    return custom


def _schedule(source: Source, cfg: Config) -> None:
    found = source.take("param_scheduler")
    if found is not None:
        cfg.param_scheduler = found if isinstance(found, list) else [found]
        return
    policy = str(source.take("lr_config.policy", "")).lower()
    if not policy:
        return
    if policy == "step":
        steps = source.take("lr_config.step")
        steps = steps if isinstance(steps, list) else [steps]
        gamma = source.take("lr_config.gamma", 0.1)
        schedule = {"type": "MultiStepLR", "milestones": steps, "gamma": gamma}
    elif policy == "cosineannealing":
        least = source.take("lr_config.min_lr", 0.0)
        schedule = {"type": "CosineAnnealingLR", "eta_min": least, "convert_to_iter_based": True}
    elif policy == "fixed":
        cfg.param_scheduler = []
        return
    else:
        source.left["lr_config.policy"] = f"{policy}: write it as param_scheduler"
        return
    cfg.param_scheduler = [schedule]
    if source.take("lr_config.warmup") is not None:
        for key in ("warmup_iters", "warmup_ratio", "warmup_by_epoch"):
            source.take(f"lr_config.{key}")
        source.left["lr_config.warmup"] = "add a LinearLR to param_scheduler"


def _hooks(source: Source, cfg: Config) -> None:
    checkpoint = cfg.default_hooks.checkpoint
    for path in ("checkpoint_config", "default_hooks.checkpoint"):
        source.take(f"{path}.type")
        for key in ("interval", "max_keep_ckpts"):
            value = source.take(f"{path}.{key}")
            if value is not None:
                checkpoint[key] = value
        if source.take(f"{path}.by_epoch", True) is not True:
            source.left[f"{path}.by_epoch"] = "intervals are epochs"
    for path in ("log_config", "default_hooks.logger"):
        interval = source.take(f"{path}.interval")
        if interval is not None:
            cfg.default_hooks.logger.interval = interval
    source.take("default_hooks.logger.type")
    for number, hook in enumerate(source.get("log_config.hooks") or []):
        path = f"log_config.hooks.{number}"
        if hook.get("type") == "TensorboardLoggerHook":
            cfg.vis_backends = [*cfg.vis_backends, {"type": "TensorboardVisBackend"}]
            source.take(path)
        elif hook.get("type") == "TextLoggerHook":
            source.take(path)
    for name, hook in (source.get("default_hooks") or {}).items():
        kind = (hook or {}).get("type")
        if kind in _SHARED_HOOKS or name in ("runtime_info", "timer"):
            source.take(f"default_hooks.{name}")


def _runtime(source: Source, cfg: Config) -> None:
    for name in ("load_from", "log_level", "find_unused_parameters", "auto_scale_lr", "work_dir"):
        value = source.take(name)
        if value is not None:
            cfg[name] = value
    seed = source.take("randomness.seed", source.take("seed"))
    if seed is not None:
        cfg.randomness.seed = seed
    deterministic = source.take("randomness.deterministic")
    if deterministic is not None:
        cfg.randomness.deterministic = deterministic
    benchmark = source.take("env_cfg.cudnn_benchmark", source.take("cudnn_benchmark"))
    if benchmark is not None:
        cfg.env_cfg.cudnn_benchmark = benchmark
    backends = source.take("vis_backends")
    if backends is not None:
        cfg.vis_backends = backends
    for name in ("dist_params", "launcher"):
        source.take(name)  # chosen by what is there
    source.take("default_scope")
    if not source.take("resume_from"):
        source.take("resume")
    else:
        source.left["resume_from"] = "a checkpoint of mmselfsup is a start for load_from"
    if source.take("workflow") not in (None, [["train", 1]], [("train", 1)]):
        source.left["workflow"] = "there is no validation loop"
    for name in ("log_processor", "visualizer"):
        source.leave(name, _OURS)
    for name in ("env_cfg.mp_cfg", "env_cfg.dist_cfg", "opencv_num_threads", "mp_start_method"):
        source.leave(name, "processes are started as this package does")
    for name in ("persistent_workers", "prefetch"):
        source.leave(name, "see train_dataloader")
