"""Any image classifier of torchvision by name, without its classifier."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as zoo

from mmdeepcluster.models.backbones.base import Backbone, check_in_channels
from mmdeepcluster.registry import BACKBONES

_POOLED = "pooled"
# Children that hold the layers themselves; their own children are stages too.
_CONTAINERS = ("features", "trunk_output")
_SIDE = 224


@BACKBONES.register_module()
class TorchvisionBackbone(Backbone):
    """A classifier of torchvision without its last linear layer, by torchvision's name.

    The last stage is ``pooled``, the vector that the last linear layer would get; the stages
    before it are those layers that give maps (B, C, H, W), under torchvision's names (``layer1``,
    ``features.4``, ...). Weights below ``network.`` have torchvision's names. Networks of
    several outputs, segmentation and detection are not among them. ``classifier_name`` is where
    the last layer was.

    Args:
        name: Name in ``torchvision.models.list_models(module=torchvision.models)``.
        in_channels: Channels of the images; for others than 3 the first convolution is a new one.
            Defaults to 3.
        pretrained: Starts from torchvision's default weights, which are downloaded once. Defaults
            to False.
        out_indices: Stages to return. Defaults to (-1,), the pooled vector.

    Raises:
        ValueError: If torchvision has no such network, or it ends in no linear layer.
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        pretrained: bool = False,
        out_indices: Sequence[int] = (-1,),
    ) -> None:
        known = zoo.list_models(module=zoo)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
            raise ValueError(f"model.backbone.name={name!r} is no network of torchvision, {hint}")
        check_in_channels(in_channels)
        network = zoo.get_model(name, weights="DEFAULT" if pretrained else None)
        if in_channels != 3:
            _take_channels(network, in_channels)
        classifier, width = _drop_classifier(name, network)
        stages = _find_stages(copy.deepcopy(network).to("meta").eval(), in_channels)
        super().__init__(in_channels, {**stages, _POOLED: width}, out_indices)
        self.name = name
        self.network: Any = network
        self.classifier_name = classifier

    def run_stages(self, x: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Outputs of the wanted stages, in one pass."""
        maps: dict[int, Tensor] = {}
        modules = dict(self.network.named_modules())
        handles = [
            modules[self.stage_names[index]].register_forward_hook(_keeper(maps, index))
            for index in wanted
            if self.stage_names[index] != _POOLED
        ]
        try:
            maps[len(self.stage_names) - 1] = _pooled(self.network(x))
        finally:
            for handle in handles:
                handle.remove()
        return {index: maps[index] for index in wanted}


def _keeper(maps: dict[int, Tensor], index: int) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        # A layer behind may change it in place.
        maps[index] = output.clone()

    return keep


def _pooled(output: Any) -> Tensor:
    """What comes out; Inception and GoogLeNet hand out several things in training."""
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def _drop_classifier(name: str, network: nn.Module) -> tuple[str, int]:
    """Replaces the last linear layer by nothing; returns its name, and the width of what it got."""
    linear = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError(f"model.backbone.name={name!r} ends in no linear layer: take another one")
    path, layer = linear[-1]
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return path, layer.in_features


def _take_channels(network: nn.Module, in_channels: int) -> None:
    """Replaces the first convolution by one for other images, initialised by torch's default."""
    path, old = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, child = path.rpartition(".")
    first = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    setattr(network.get_submodule(parent), child, first)


def _find_stages(probe: nn.Module, in_channels: int) -> dict[str, int]:
    """Layers that give one map (B, C, H, W), in order of use, and their channels."""
    if isinstance(probe, zoo.SwinTransformer):
        return {}  # its maps are (B, H, W, C)
    found: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found[name] = output.shape[1]

        return hook

    for name, module in _candidates(probe):
        module.register_forward_hook(note(name))
    with torch.no_grad():
        probe(torch.empty(1, in_channels, _SIDE, _SIDE, device="meta"))
    return found


def _candidates(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in network.named_children():
        yield name, child
        if name in _CONTAINERS:
            yield from ((f"{name}.{inner}", module) for inner, module in child.named_children())
