"""Weights in the layout of the zoo that a network is from: all of them, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmdeepcluster.engine.checkpoint_io import read_checkpoint
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.models import TimmBackbone, TorchvisionBackbone

# Where files of weights keep them, and what wrappers put before their names.
_NESTS = ("state_dict", "model", "model_state_dict")
_WRAPPER = "module."
_COUNTER = ".num_batches_tracked"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict out of a file, whatever it is nested in.

    Raises:
        ConfigError: If the file is missing or damaged.
    """
    if Path(path).suffix == ".safetensors":
        if not Path(path).is_file():
            raise ConfigError(f"--weights {path} does not exist")
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise ConfigError(f"{path} needs safetensors: pip install safetensors") from error
        return dict(load_file(str(path)))
    found: dict[str, Any] = read_checkpoint(path)
    for nest in _NESTS:
        if isinstance(found.get(nest), dict):
            found = found[nest]
    return {k.removeprefix(_WRAPPER): v for k, v in found.items() if isinstance(v, Tensor)}


def load_native(backbone: Any, weights: dict[str, Tensor], source: str) -> None:
    """Loads weights with the names of torchvision or timm; the classifier is left out.

    Raises:
        ConfigError: If others are missing, unexpected, or of another shape.
    """
    if isinstance(backbone, TorchvisionBackbone):
        target, classifiers = backbone.network, (backbone.classifier_name,)
    elif isinstance(backbone, TimmBackbone):
        target = backbone.model
        named = target.pretrained_cfg.get("classifier") or ()
        classifiers = (named,) if isinstance(named, str) else tuple(named)
    else:
        target, classifiers = backbone, ("fc",)
    own = target.state_dict()
    kept = {k: v for k, v in weights.items() if k in own or k.rpartition(".")[0] not in classifiers}
    load_strictly(target, kept, source, "this network")


def load_strictly(target: nn.Module, weights: dict[str, Tensor], source: str, whose: str) -> None:
    """Loads all weights; only counters of batches, which nothing reads here, may be missing.

    Args:
        target: The network.
        weights: Its state dict.
        source: Where they are from, for the message.
        whose: What they have to fit, for the message.

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
            f"{source} does not fit {whose}: {len(own) - len(missing) - len(shapes)} of {len(own)} "
            f"weights fit; missing {_some(missing)}; unexpected {_some(unexpected)}; other shapes "
            f"{_some(shapes)} (other layouts: tools/model_converters)"
        )
    target.load_state_dict(weights, strict=False)


def _some(names: list[str], number: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more
