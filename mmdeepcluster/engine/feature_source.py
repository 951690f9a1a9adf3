"""A network that is used, not trained, and the images that it is shown."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from mmdeepcluster.clustering import Assigner
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.resolve_config import build_dataset, prepare_config
from mmdeepcluster.engine.runner import IDENTITY
from mmdeepcluster.engine.seeding import config_seed, seed_everything
from mmdeepcluster.engine.weights_in import read_weights, take_weights
from mmdeepcluster.engine.zoo import is_zoo_name, torchvision_weights, zoo_config
from mmdeepcluster.models import FeatureModel, TimmBackbone
from mmdeepcluster.models.algorithms.base import ASSIGNER_PREFIX
from mmdeepcluster.registry import ALGORITHMS, DATASETS

# Counts batches, which nothing reads here.
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class FeatureSource:
    """A network in evaluation mode, and how images are shown to it.

    Attributes:
        cfg: The config; its model has no data set written into it.
        model: The network, on the CPU.
        assigner: Rule of the clusters, None where the training has not ended in one.
        origin: Where the weights are from, for people.
        checkpoint: ``identity`` and ``meta`` of the checkpoint, empty without one.
    """

    cfg: Config
    model: FeatureModel
    assigner: Assigner | None
    origin: str
    checkpoint: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, str]:
        """Digests of the network with its weights, and of the rule of the clusters."""
        rule = {} if self.assigner is None else self.assigner.state_dict()
        return {
            "network": json.dumps(network_config(self.cfg), sort_keys=True, default=str),
            "weights": state_digest(self.model.state_dict()),
            "clusters": state_digest(rule) if rule else "none",
        }


def network_config(cfg: Config) -> dict[str, Any]:
    """What of a config is needed to build the network again."""
    model = cfg.model.to_dict()
    parts = {key: model[key] for key in ("backbone", "neck") if model.get(key) is not None}
    preprocessor = model.get("data_preprocessor") or cfg.get("data_preprocessor")
    if preprocessor is not None:
        parts["data_preprocessor"] = Config({"_": preprocessor}).to_dict()["_"]
    return parts


def load_source(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> FeatureSource:
    """Builds the network of a config or of a zoo, with weights.

    Without a checkpoint, ``weights`` or ``pretrained`` the network is random, which is said; that
    of a config is the one that a training with this seed starts from.

    Args:
        config: Config file, config, ``torchvision/NAME`` or ``timm/NAME``.
        checkpoint: Checkpoint of a training with this config.
        weights: File whose backbone is taken, in any layout that ``load_weights`` knows; a neck
            that is not in it stays random, which is said.
        pretrained: For a name: take the weights of that zoo.
        seed: Seed of a random network. Defaults to ``randomness.seed`` of the config, or 0.
        options: What ``--cfg-options`` would set, with dotted keys.

    Raises:
        ConfigError: If the config or the weights cannot be used.
    """
    named = str(config) if is_zoo_name(config) else None
    if named is None and pretrained:
        raise ConfigError(
            f"--pretrained is for torchvision/NAME and timm/NAME; for {config} give a checkpoint "
            "of a training with it, or the file of another network by --weights"
        )
    if named is not None and checkpoint is not None:
        raise ConfigError(
            f"{named} has no checkpoints of this package: give --weights {checkpoint}"
        )
    if weights is not None and (pretrained or checkpoint is not None):
        other = "--pretrained" if pretrained else f"the checkpoint {checkpoint}"
        raise ConfigError(f"give --weights {weights} or {other}, not both")
    cfg = prepare_config(config if named is None else zoo_config(named, pretrained), options)
    if seed is None:
        seed = config_seed(cfg)
    found = None if checkpoint is None else read_weights(checkpoint)
    seed_everything(seed)
    model = _build(cfg)
    assigner, origin = None, f"random weights of seed {seed}"
    known: dict[str, Any] = {}
    if found is not None:
        origin = f"checkpoint {checkpoint}"
        assigner = _restore(found, model, cfg, str(checkpoint))
        known = {"identity": found.get(IDENTITY), "meta": found.get("meta", {})}
    elif weights is not None:
        origin = f"weights {weights}"
        match = take_weights(model, read_weights(weights), f"--weights {weights}", strict=True)
        print_log("\n  ".join([origin, *match.lines()]), "current")
    elif named is not None and pretrained:
        origin = f"the weights of {named.split('/')[0]}"
        if not isinstance(model.backbone, TimmBackbone):
            take_weights(model, torchvision_weights(named), named, strict=True)
    else:
        remedy = f"{'a checkpoint' if named is None else '--pretrained'} or --weights FILE"
        print_log(
            f"NO TRAINED WEIGHTS: the network is random, of seed {seed}; for a trained one give "
            f"{remedy}",
            "current",
            logging.WARNING,
        )
    return FeatureSource(cfg, model.eval(), assigner, origin, known)


def open_images(
    cfg: Config,
    images: str | Path | None = None,
    *,
    split: str | None = None,
    labels: bool = False,
    unreadable: str = "fail",
) -> BaseImageDataset:
    """Opens a folder, a list file, or the data set of a config; collective.

    Args:
        cfg: The config.
        images: Folder or list file. Defaults to None, the config's data set.
        split: Another split of the config's data set.
        labels: Whether folder names, or the numbers behind the names of a list, are known classes.
        unreadable: What happens to files that cannot be read, as ``dataset.unreadable``.

    Raises:
        ConfigError: If there is no image, or not what was asked for.
    """
    if images is None:
        if cfg.get("dataset") is None:
            raise ConfigError("--images: a network by name has no images, give a folder or list")
        wanted = dict(cfg.dataset)
        if split is None:
            return build_dataset(wanted)
        kind = DATASETS.get(wanted["type"]) if isinstance(wanted["type"], str) else wanted["type"]
        if not getattr(kind, "splits", ()):
            raise ConfigError(f"--split {split}: {wanted['type']} has no splits, leave it out")
        return build_dataset({**wanted, "split": split})
    if split is not None:
        raise ConfigError("--split is for the data set of the config, --images has none")
    path = Path(images).expanduser()
    if not path.exists():
        raise ConfigError(f"--images {images}: no such folder or list file")
    common = {"unreadable": unreadable}
    if path.is_dir():
        known = "folder" if labels else None
        return build_dataset({"type": "ImageFolder", "root": str(path), "labels": known, **common})
    return build_dataset({"type": "ImageList", "list_file": str(path), "labels": labels, **common})


def _build(cfg: Config) -> FeatureModel:
    """The network of a config; it draws the same random weights as the algorithm around it."""
    kind: Any = cfg.model.type
    kind = ALGORITHMS.get(kind) if isinstance(kind, str) else kind
    if not issubclass(kind, FeatureModel):
        raise ConfigError(f"model.type={kind.__name__} is no algorithm or FeatureModel")
    try:
        model = FeatureModel(**network_config(cfg), init_cfg=cfg.model.get("init_cfg"))
    except (ValueError, TypeError, KeyError, ImportError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if model.init_cfg is not None:
        model.init_weights()
    return model


def _restore(
    checkpoint: dict[str, Any], model: FeatureModel, cfg: Config, source: str
) -> Assigner | None:
    """Gives the network its part of a checkpoint; returns the rule of the clusters."""
    known = checkpoint.get(IDENTITY) or {}
    kind: Any = cfg.model.type
    name = kind if isinstance(kind, str) else kind.__name__
    method = known.get("method")
    if method is not None and name not in (method, "FeatureModel"):
        raise ConfigError(f"{source} is of {method}, the config of {name}: give its own config")
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        raise ConfigError(
            f"{source} is not a checkpoint of mmdeepcluster, it has no state_dict; the backbone of "
            f"another project's file is taken by --weights {source}"
        )
    own = {k: v for k, v in weights.items() if k.split(".")[0] in ("backbone", "neck")}
    _load_strictly(model, own, source)
    # A file of safetensors has one dict for everything.
    state = {
        name.removeprefix(ASSIGNER_PREFIX): value
        for name, value in {**(checkpoint.get("cluster_state") or {}), **weights}.items()
        if name.startswith(ASSIGNER_PREFIX)
    }
    if not state:
        return None
    try:
        return Assigner.from_state_dict(state)
    except (ValueError, KeyError, IndexError) as error:
        raise ConfigError(f"{source}: the assigner cannot be used: {error}") from error


def state_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 of names, kinds, shapes and values: batch norm statistics count."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load_strictly(target: FeatureModel, weights: dict[str, Tensor], source: str) -> None:
    """Loads all weights; only counters of batches, which nothing reads here, may be missing.

    Args:
        target: The network.
        weights: Its state dict.
        source: Where they are from, for the message.

    Raises:
        ConfigError: If one is missing, unexpected, or of another shape; nothing was loaded then.
    """
    own = {k: v for k, v in target.state_dict().items() if k in weights or not k.endswith(_COUNTER)}
    missing, unexpected = sorted(own.keys() - weights), sorted(weights.keys() - own)
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if missing or unexpected or shapes:
        raise ConfigError(
            f"{source} does not fit this config: {len(own) - len(missing) - len(shapes)} of "
            f"{len(own)} weights fit; missing {_some(missing)}; unexpected {_some(unexpected)}; "
            f"other shapes {_some(shapes)}"
        )
    target.load_state_dict(weights, strict=False)


def _some(names: list[str], number: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more
