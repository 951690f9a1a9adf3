"""A network to be measured, without the images that it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmdeepcluster.engine import (
    ConfigError,
    load_config,
    merge_options,
    read_checkpoint,
    seed_everything,
)
from mmdeepcluster.models import BaseAlgorithm
from mmdeepcluster.registry import ALGORITHMS, SCOPE

# Rows that the memory of a model gets that will never look into it.
_SAMPLES_PER_CLUSTER = 40


def load_network(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> BaseAlgorithm:
    """Builds the network of a config for evaluation; its training images need not be there.

    Args:
        config: Config of a training.
        checkpoint: Checkpoint of that training, or a state dict of its backbone alone, in the
            names of torchvision where the backbone is a ResNet (a classifier ``fc`` is left out).
            None takes the network that the training starts from, of seed ``randomness.seed``.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        The algorithm in evaluation mode on the device of this process. Its memory is empty.

    Raises:
        ConfigError: If the config or the checkpoint cannot be used, or they do not fit.
    """
    cfg = load_config(config)
    merge_options(cfg, options or {})
    init_default_scope(cfg.get("default_scope", SCOPE))
    seed_everything((cfg.get("randomness") or {}).get("seed") or 0)
    try:
        algorithm: BaseAlgorithm = ALGORITHMS.build(_model(cfg))
    except (ValueError, TypeError, KeyError, ImportError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if algorithm.init_cfg is not None:
        algorithm.init_weights()
    if checkpoint is not None:
        _load_weights(algorithm, checkpoint)
    return algorithm.to(get_device()).eval()


def network_digest(network: nn.Module) -> str:
    """sha256 of all parameters and buffers, by name: batch norm statistics count."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _model(cfg: Config) -> dict[str, Any]:
    """Config of the model with numbers where a data set would decide."""
    model = dict(cfg.model.to_dict())
    kind = ALGORITHMS.get(model["type"]) if isinstance(model["type"], str) else model["type"]
    if kind is None:
        raise ConfigError(f"model.type={model['type']!r} is not registered")
    clusters = model.get("num_clusters", "auto")
    model["num_clusters"] = 16 if clusters == "auto" else clusters
    model["num_samples"] = _SAMPLES_PER_CLUSTER * model["num_clusters"]
    if "memory" in model:
        model["memory"] = {k: v for k, v in model["memory"].items() if k != "min_cluster_size"}
    model = kind.config_to_use(model)
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", cfg.data_preprocessor.to_dict())
    return model


def _load_weights(algorithm: BaseAlgorithm, path: str | Path) -> None:
    """Loads backbone and neck, or the backbone alone; every weight of it must be there."""
    if not Path(path).is_file():
        raise ConfigError(f"checkpoint {path} does not exist")
    content = read_checkpoint(path)
    weights: Mapping[str, Tensor] = content.get("state_dict", content)
    own = {key for key in weights if key.startswith(("backbone.", "neck."))}
    if own:
        _load_part(algorithm.backbone, _below(weights, "backbone."), path, "backbone")
        _load_part(algorithm.neck, _below(weights, "neck."), path, "neck")
        return
    plain = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    _load_part(algorithm.backbone, plain, path, "backbone")


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _load_part(module: nn.Module, weights: dict[str, Tensor], path: str | Path, name: str) -> None:
    try:
        found = module.load_state_dict(weights, strict=False)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} does not fit model.{name}: {reason}") from error
    if found.missing_keys or found.unexpected_keys:
        raise ConfigError(
            f"{path} does not fit model.{name}: {len(found.missing_keys)} weights are missing, "
            f"such as {found.missing_keys[:3]}, {len(found.unexpected_keys)} are unknown, such as "
            f"{found.unexpected_keys[:3]}"
        )
