"""Networks of torchvision and timm by name, as configs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor
from torchvision import models

from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.registry import SCOPE

_NAME = re.compile(r"(?P<zoo>torchvision|timm)/(?P<name>.+)")
# Networks of torchvision that this package has itself, with the stages that papers report.
_RESNETS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101)}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_DEFAULT_VIEW: dict[str, Any] = {"resize": 256, "crop": 224, "interpolation": "bilinear"}


def is_zoo_name(config: str | Path | Config) -> bool:
    """Whether this is ``torchvision/NAME`` or ``timm/NAME`` and no file."""
    return (
        isinstance(config, str)
        and _NAME.fullmatch(config) is not None
        and not Path(config).is_file()
    )


def zoo_config(name: str, pretrained: bool = False) -> Config:
    """Config of a network of torchvision or timm, with the images that it was made for.

    Args:
        name: ``torchvision/resnet50``, ``timm/vit_tiny_patch16_224``, ...
        pretrained: Whether a network of timm starts from timm's weights, which are downloaded
            once. Those of torchvision are loaded by :func:`torchvision_weights`.

    Raises:
        ConfigError: If the name is of neither zoo, or timm is not installed.
    """
    zoo, network = _split(name)
    backbone: dict[str, Any]
    if zoo == "timm":
        view = _timm_view(network)
        backbone = {"type": "TimmBackbone", "name": network, "pretrained": pretrained}
    else:
        view = _torchvision_view(network)
        backbone = {"type": "TorchvisionBackbone", "name": network}
        if network in _RESNETS:
            backbone = {"type": "ResNet", "depth": _RESNETS[network]}
    pixels = {key: [255.0 * value for value in view[key]] for key in ("mean", "std")}
    return Config(
        {
            "default_scope": SCOPE,
            "model": {"type": "FeatureModel", "backbone": backbone},
            "dataset": None,
            "data_preprocessor": {"type": "ImagePreprocessor", **pixels},
            "eval_pipeline": [
                {"type": "RGB"},
                {
                    "type": "Resize",
                    "size": view["resize"],
                    "interpolation": view["interpolation"],
                },
                {"type": "CenterCrop", "size": view["crop"]},
                {"type": "PILToTensor"},
            ],
            "eval_dataloader": {"batch_size": 64, "num_workers": 2},
        }
    )


def torchvision_weights(name: str) -> dict[str, Tensor]:
    """Torchvision's default weights of ``torchvision/NAME``, downloaded once.

    Raises:
        ConfigError: If there are none, or they cannot be fetched.
    """
    weights = _torchvision_preset(_split(name)[1])
    if weights is None:
        raise ConfigError(f"--pretrained: torchvision has no weights for {name}")
    try:
        found: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise ConfigError(
            f"--pretrained: the weights of {name} cannot be fetched ({error}); download "
            f"{weights.url} elsewhere and give the file by --weights"
        ) from error
    return found


def _split(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(f"{name!r} is neither torchvision/NAME nor timm/NAME")
    return found["zoo"], found["name"]


def _torchvision_preset(name: str) -> Any:
    """Torchvision's default weights of a network, None where there are none."""
    try:
        return getattr(models.get_model_weights(name), "DEFAULT", None)
    except ValueError:
        return None  # no such network; the backbone says which are meant


def _torchvision_view(name: str) -> dict[str, Any]:
    """How torchvision shows images to a network with its default weights."""
    preset = _torchvision_preset(name)
    if preset is None:
        return {**_DEFAULT_VIEW, **_IMAGENET}
    steps = preset.transforms()
    return {
        "resize": steps.resize_size[0],
        "crop": steps.crop_size[0],
        "interpolation": steps.interpolation.value,
        "mean": steps.mean,
        "std": steps.std,
    }


def _timm_view(name: str) -> dict[str, Any]:
    """How timm shows images to a network."""
    try:
        from timm.data import resolve_data_config
        from timm.models import get_pretrained_cfg
    except ImportError as error:
        raise ConfigError(
            f"timm/{name} needs timm: pip install mmdeepcluster[optional], or pip install timm"
        ) from error
    known = get_pretrained_cfg(name)
    if known is None:
        return {**_DEFAULT_VIEW, **_IMAGENET}  # the backbone says what is wrong with the name
    data = resolve_data_config(pretrained_cfg=known.to_dict())
    crop = data["input_size"][-1]
    return {
        "resize": math.floor(crop / data["crop_pct"]),
        "crop": crop,
        "interpolation": data["interpolation"],
        "mean": data["mean"],
        "std": data["std"],
    }
