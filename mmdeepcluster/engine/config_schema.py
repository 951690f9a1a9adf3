"""Refuses keys that no component would read, and says which one was probably meant.

MMEngine's ``Config`` takes ``train_cgf.max_epochs=5`` without a word. Here every key of a
component must be a parameter of the class that its ``type`` names, and every root of
``--cfg-options`` must be a root that this package reads.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

import mmdeepcluster.registry as registries
from mmdeepcluster.datasets import build_eval_loader, build_train_loader
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.evaluation_options import EvaluationOptions

# Keys that MMEngine's builders take out before the class sees them.
_BUILDER_KEYS = {"type", "_scope_", "priority", "init_cfg"}

ROOTS: dict[str, str] = {
    "auto_scale_lr": "learning rate for another batch size",
    "channels_last": "memory layout of images and convolutions",
    "compile": "torch.compile of the backbone",
    "custom_hooks": "hooks",
    "custom_imports": "modules to import first",
    "data_preprocessor": "normalisation of the images",
    "data_root": "folder that replaces the images of the config",
    "dataset": "the data set",
    "default_hooks": "hooks",
    "default_scope": "scope of the registries",
    "env_cfg": "environment",
    "eval_dataloader": "loader of the evaluation view",
    "eval_pipeline": "transforms of the evaluation view",
    "evaluation": "what is measured at the end",
    "find_unused_parameters": "wrapper of several processes",
    "experiment_name": "name in the logs",
    "launcher": "way to start several processes",
    "load_from": "weights to start from",
    "load_from_strict": "whether the whole backbone must be in them",
    "log_level": "level of the log",
    "log_processor": "format of the log",
    "model": "the algorithm",
    "optim_wrapper": "optimizer",
    "param_scheduler": "schedules of the learning rate",
    "randomness": "seed",
    "resume": "continue an interrupted run",
    "sync_bn": "batch norm over all processes",
    "train_cfg": "length of the training",
    "train_dataloader": "loader of the training view",
    "train_pipeline": "transforms of the training view",
    "vis_backends": "where curves go",
    "visualizer": "where curves go",
    "work_dir": "where results go",
}

# Arguments of the loaders that are derived.
_LOADER_DERIVED = {"view", "seed", "rank", "world_size", "indices", "device", "keep"}
_EVALUATION_KEYS = tuple(field.name for field in fields(EvaluationOptions))
# What MMEngine's DefaultOptimWrapperConstructor reads; it ignores any other key.
_PARAMWISE_KEYS = (
    "custom_keys",
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
    "flat_decay_mult",
)
_RANDOMNESS_KEYS = ("seed", "deterministic", "diff_rank_seed")
# Hooks of MMEngine that treat every buffer as if it were a statistic of a layer.
_WRONG_HOOKS = {
    "SyncBuffersHook": "it would average the labels of the processes",
    "EMAHook": "it would keep a second memory bank and average into it",
}
_ENV_KEYS = ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit")
# Of torch.compile, but for the function itself and what switches it off again.
_COMPILE_KEYS = ("backend", "dynamic", "fullgraph", "mode", "options")
_AUTO_LR_KEYS = ("enable", "base_batch_size")


def did_you_mean(key: str, known: Collection[str]) -> str:
    """A hint for a key that is not known: the nearest one, and all of them when they are few."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(sorted(known))}"


def check_option_roots(options: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuses ``--cfg-options`` whose root neither the config nor this package has.

    Raises:
        ConfigError: Naming the root and the nearest known one; or for a dict written as text, which
            MMEngine's parser leaves a text.
    """
    known = set(ROOTS) | {key for key in config if not key.startswith("_")}
    for option, value in options.items():
        if isinstance(value, str) and value.startswith(("dict(", "{", "[{", "[dict(")):
            raise ConfigError(
                f"--cfg-options {option}={value}: a dict cannot be written there; set its keys one "
                f"by one ({option}.key=value), or write a config file with _base_"
            )
        root = option.split(".")[0]
        if root not in known:
            raise ConfigError(f"--cfg-options {option}: no such key, {did_you_mean(root, known)}")


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses unknown keys under every component of a config.

    Raises:
        ConfigError: With one line for each key that would be ignored.
    """
    problems = list(_problems(config))
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        raise ConfigError(f"{len(problems)} keys cannot be used:\n  " + "\n  ".join(problems))


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    if "model" not in config or "dataset" not in config:
        yield "a config needs 'model' and 'dataset'"
        return
    yield from _near_roots(config)
    yield from _component(config["model"], "model", registries.MODELS, required=True)
    yield from _component(config["dataset"], "dataset", registries.DATASETS, required=True)
    if config.get("data_preprocessor") is not None:
        yield from _component(config["data_preprocessor"], "data_preprocessor", registries.MODELS)
    for name in ("train_pipeline", "eval_pipeline"):
        for index, step in enumerate(config.get(name) or []):
            yield from _component(step, f"{name}[{index}]", registries.TRANSFORMS)
    yield from _switches(config)
    yield from _training(config)
    for name, builder in (
        ("train_dataloader", build_train_loader),
        ("eval_dataloader", build_eval_loader),
    ):
        yield from _plain_dict(config, name, _loader_keys(builder))
    sampler = (config.get("train_dataloader") or {}).get("sampler")
    if sampler is not None:
        yield from _component(sampler, "train_dataloader.sampler", registries.DATA_SAMPLERS)
    yield from _plain_dict(config, "evaluation", _EVALUATION_KEYS)
    yield from _plain_dict(config, "randomness", _RANDOMNESS_KEYS)
    yield from _plain_dict(config, "env_cfg", _ENV_KEYS)
    yield from _plain_dict(config, "auto_scale_lr", _AUTO_LR_KEYS)


def _switches(config: Mapping[str, Any]) -> Iterator[str]:
    """Switches of the training step, which MMEngine would take in any form."""
    options = config.get("compile")
    if isinstance(options, Mapping):
        yield from _plain_dict(config, "compile", _COMPILE_KEYS)
    elif options is not None and not isinstance(options, bool):
        yield f"compile: True, False or options of torch.compile, got {options!r}"
    if not isinstance(config.get("channels_last"), bool | None):
        yield f"channels_last: True, False or None, got {config['channels_last']!r}"


def _near_roots(config: Mapping[str, Any]) -> Iterator[str]:
    """A root that is one slip away from one that is read; other roots are the user's variables."""
    for root in config:
        near = difflib.get_close_matches(root, ROOTS, n=1, cutoff=0.85)
        if root not in ROOTS and near:
            yield f"{root}: not a key of a config, did you mean '{near[0]}'?"


def _training(config: Mapping[str, Any]) -> Iterator[str]:
    yield from _optim_wrapper(config.get("optim_wrapper") or {})
    schedulers = config.get("param_scheduler") or []
    for index, scheduler in enumerate(
        schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]
    ):
        yield from _component(
            scheduler,
            f"param_scheduler[{index}]",
            registries.PARAM_SCHEDULERS,
            extra={"convert_to_iter_based"},
        )
    for name, hook in (config.get("default_hooks") or {}).items():
        if hook is not None:
            yield from _hook(hook, f"default_hooks.{name}")
    for index, hook in enumerate(config.get("custom_hooks") or []):
        yield from _hook(hook, f"custom_hooks[{index}]")
    for name, registry in (
        ("visualizer", registries.VISUALIZERS),
        ("log_processor", registries.LOG_PROCESSORS),
    ):
        if config.get(name) is not None:
            yield from _component(config[name], name, registry)
    for index, backend in enumerate(config.get("vis_backends") or []):
        yield from _component(backend, f"vis_backends[{index}]", registries.VISBACKENDS)
    loop = dict(config.get("train_cfg") or {})
    if loop.get("by_epoch", True) is not True:
        yield "train_cfg.by_epoch: trainings count epochs, leave it out"
    loop.pop("by_epoch", None)
    loop.setdefault("type", "EpochBasedTrainLoop")
    yield from _component(loop, "train_cfg", registries.LOOPS)


def _hook(hook: Any, path: str) -> Iterator[str]:
    name = hook.get("type") if isinstance(hook, Mapping) else None
    if name in _WRONG_HOOKS:
        yield f"{path}: {name} cannot be used here, {_WRONG_HOOKS[name]}"
        return
    yield from _component(hook, path, registries.HOOKS)


def _optim_wrapper(wrapper: Mapping[str, Any]) -> Iterator[str]:
    rest = {k: v for k, v in wrapper.items() if k not in ("optimizer", "paramwise_cfg")}
    rest.setdefault("type", "OptimWrapper")
    yield from _component(rest, "optim_wrapper", registries.OPTIM_WRAPPERS, extra={"constructor"})
    yield from _plain_dict(
        {"optim_wrapper.paramwise_cfg": wrapper.get("paramwise_cfg")},
        "optim_wrapper.paramwise_cfg",
        _PARAMWISE_KEYS,
    )
    if "optimizer" in wrapper:
        yield from _component(
            wrapper["optimizer"], "optim_wrapper.optimizer", registries.OPTIMIZERS
        )


def _loader_keys(builder: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(builder).parameters) - _LOADER_DERIVED


def _plain_dict(config: Mapping[str, Any], root: str, known: Collection[str]) -> Iterator[str]:
    for key in config.get(root) or {}:
        if key not in known:
            yield f"{root}.{key}: unknown key, {did_you_mean(key, known)}"


def _component(
    config: Any,
    path: str,
    registry: Any,
    extra: Collection[str] = (),
    required: bool = False,
) -> Iterator[str]:
    """Problems of one component and of those nested in it."""
    if not isinstance(config, Mapping):
        if isinstance(config, (str, int, float, list, tuple)):
            yield f"{path}: expected a dict with 'type', got {config!r}"
        return
    if "type" not in config:
        yield f"{path}: needs 'type', {did_you_mean('', _names(registry))}"
        return
    cls = registries.find_component(registry, config["type"])
    if cls is None:
        names = _names(registry)
        yield f"{path}.type: no '{config['type']}', {did_you_mean(str(config['type']), names)}"
        return
    derived: Mapping[str, str] = getattr(cls, "derived_keys", {})
    allowed, needed, takes_any = _parameters(cls)
    known = (allowed - derived.keys()) | set(extra)
    for key in config:
        if key in _BUILDER_KEYS:
            continue
        if key in derived:
            yield f"{path}.{key}: is derived from {derived[key]}, leave it out"
        elif key not in known and not takes_any:
            # As the user calls it: some names of MMEngine mean classes of ours.
            name = config["type"] if isinstance(config["type"], str) else cls.__name__
            yield f"{path}.{key}: unknown key of {name}, {did_you_mean(key, known)}"
    if required:
        for key in sorted(needed - derived.keys() - config.keys() - _WRITTEN):
            yield f"{path}.{key}: {cls.__name__} needs it"
    yield from _nested(config, path)


# Parts of a model that are no modules.
_OTHER_REGISTRIES = {
    "clusterer": registries.CLUSTERERS,
    "feature_transform": registries.FEATURE_TRANSFORMS,
}
# Parameters of the algorithm that resolve_config writes.
_WRITTEN = {"num_samples"}


def _nested(config: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in config.items():
        if not isinstance(value, Mapping) or "type" not in value:
            continue
        if key in _OTHER_REGISTRIES:
            yield from _component(value, f"{path}.{key}", _OTHER_REGISTRIES[key], required=True)
        elif key.endswith("_cfg"):
            extra = {"requires_grad"}
            yield from _component(value, f"{path}.{key}", registries.MODELS, extra=extra)
        elif path.split(".")[0] == "model":
            yield from _component(value, f"{path}.{key}", registries.MODELS, required=True)
        elif path.split(".")[0] == "dataset":
            yield from _component(value, f"{path}.{key}", registries.DATASETS, required=True)


def _names(registry: Any) -> set[str]:
    registry.import_from_location()
    return set(registry.module_dict)


def _parameters(cls: Any) -> tuple[set[str], set[str], bool]:
    """Names that a class takes, those it needs, and whether it takes any name at all.

    ``**kwargs`` are followed to the parent classes, to which they are handed on.
    """
    allowed: set[str] = set()
    needed: set[str] = set()
    # `object` takes nothing, whatever its signature says
    classes = (
        [c for c in cls.__mro__[:-1] if "__init__" in vars(c)] if inspect.isclass(cls) else [cls]
    )
    for number, owner in enumerate(classes):
        function = owner.__init__ if inspect.isclass(owner) else owner
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return allowed, needed, True
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        allowed |= {p.name for p in named if p.name != "self"}
        if number == 0:
            needed = {p.name for p in named if p.default is p.empty and p.name != "self"}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return allowed, needed, False
