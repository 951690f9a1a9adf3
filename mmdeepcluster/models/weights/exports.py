"""Weights out: the backbone with the names, and for the networks, of torchvision and timm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from mmdeepcluster.models.backbones import (
    VGG16BN,
    AlexNet,
    ConvFCBackbone,
    ResNet,
    TimmBackbone,
    fold_sobel,
)
from mmdeepcluster.models.weights.naming import torchvision_naming

LIBRARIES = ("torchvision", "timm")
_FOLDED = (
    "the Sobel layer is folded into the first convolution; outputs whose window reaches over the "
    "border of the image differ a little"
)


@dataclass(frozen=True)
class ExportedBackbone:
    """A backbone as another library keeps it.

    Attributes:
        library: ``torchvision`` or ``timm``.
        architecture: Name of the network there.
        weights: Its state dict. Without classifier it loads with ``strict=True`` where the
            classifier of the network was replaced by ``nn.Identity()``, or in timm left out by
            ``num_classes=0``.
        notes: What has to be changed in the network before they fit, in lines for people.
    """

    library: str
    architecture: str
    weights: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def export_backbone(
    backbone: Any, library: str, num_classes: int | None = None, fold: bool = False
) -> ExportedBackbone:
    """Names the weights of a backbone as another library does.

    Args:
        backbone: A ResNet, AlexNet or VGG of ours, or a network of timm.
        library: ``torchvision`` or ``timm``.
        num_classes: Adds a classifier of zeros for so many classes, so that the plain network
            loads the file. Defaults to None, no classifier: there is none that was trained.
        fold: Takes the Sobel layer into the first convolution. Defaults to False.

    Raises:
        ValueError: If that library has no such network, or a Sobel layer stands before it.
        ImportError: If timm is needed and not installed.
    """
    if library not in LIBRARIES:
        raise ValueError(f"library must be one of {', '.join(LIBRARIES)}, got {library!r}")
    folded = fold_sobel(backbone, exact_borders=False) if fold else backbone
    if folded is not backbone:
        exported = export_backbone(folded, library, num_classes)
        return replace(exported, notes=(*exported.notes, _FOLDED))
    if getattr(backbone, "sobel", None) is not None:
        raise ValueError(
            f"{library} has no Sobel layer: fold it into the first convolution (--fold-sobel), "
            "which then takes colours"
        )
    if isinstance(backbone, TimmBackbone):
        if library != "timm":
            raise ValueError(f"a network of timm ({backbone.name}) has names of timm alone")
        weights = {k.removeprefix("model."): v for k, v in backbone.state_dict().items()}
        name = backbone.name
    else:
        name = _architecture(backbone, library)
        weights = _renamed(backbone)
    reference = _reference(library, name, num_classes, getattr(backbone, "in_channels", 3))
    added, notes = _compare(weights, reference, library, name, num_classes)
    weights |= added
    ordered = {k: weights[k] for k in reference if k in weights}
    cpu = {k: v.detach().cpu().clone() for k, v in (ordered | weights).items()}
    return ExportedBackbone(library, name, cpu, (*notes, *_notes(backbone)))


def _architecture(backbone: nn.Module, library: str) -> str:
    """Name of the network in the library."""
    if isinstance(backbone, ResNet):
        blocks = [len(backbone.get_submodule(f"layer{i}")) for i in range(1, 5)]  # type: ignore[arg-type]
        wide = backbone.stage_channels[-1] == 2048
        depth = 2 + sum(blocks) * (3 if wide else 2)
        return f"resnet{depth}"
    if library == "torchvision" and isinstance(backbone, VGG16BN):
        return "vgg16_bn"
    if library == "torchvision" and isinstance(backbone, AlexNet):
        if not isinstance(backbone.get_submodule("bn1"), nn.BatchNorm2d):
            return "alexnet"
        raise ValueError(
            "torchvision's AlexNet has no batch norm, this one has: only "
            "model.backbone.batch_norm=False can be exported to it"
        )
    raise ValueError(f"{library} has no network like the backbone {type(backbone).__name__}")


def _renamed(backbone: nn.Module) -> dict[str, Tensor]:
    """The state dict with the names of torchvision; convolutions before BN get biases of zero."""
    state = backbone.state_dict()
    if not isinstance(backbone, ConvFCBackbone):
        return dict(state)
    naming = torchvision_naming(backbone)
    weights = {naming.sources[name]: value for name, value in state.items()}
    for mean, bias in naming.biases.items():
        weights[bias] = torch.zeros_like(state[mean])
    return weights


def _reference(
    library: str, name: str, num_classes: int | None, in_channels: int
) -> Mapping[str, Tensor]:
    """State dict of the network there, without memory for its values."""
    network: Any
    with torch.device("meta"):
        if library == "timm":
            import timm

            network = timm.create_model(name, num_classes=num_classes or 0, in_chans=in_channels)
        else:
            network = torchvision.models.get_model(name, num_classes=num_classes or 1)
    state: dict[str, Tensor] = network.state_dict()
    if num_classes is None and library == "torchvision":
        classifier = ("fc.", "classifier.6.")
        state = {k: v for k, v in state.items() if not k.startswith(classifier)}
    return state


def _compare(
    weights: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    library: str,
    name: str,
    num_classes: int | None,
) -> tuple[dict[str, Tensor], list[str]]:
    """The classifier that is missing, and what to say of a first convolution of another size."""
    missing = [key for key in reference if key not in weights]
    added = {}
    if num_classes is not None:
        added = {key: torch.zeros(reference[key].shape) for key in missing}
        missing = []
    unexpected = [key for key in weights if key not in reference]
    shapes = [
        key for key in weights if key in reference and weights[key].shape != reference[key].shape
    ]
    others = [key for key in shapes if key != "conv1.weight" and key != "features.0.weight"]
    if missing or unexpected or others:
        wrong = [*missing, *unexpected, *others]
        raise ValueError(
            f"{library}'s {name} has other weights than this backbone ({len(wrong)}, such as "
            f"{', '.join(wrong[:4])}): only its standard widths and batch norm can be exported"
        )
    return added, [_conv_note(weights[key], key.removesuffix(".weight")) for key in shapes]


def _conv_note(weight: Tensor, name: str) -> str:
    width, channels, height, _ = weight.shape
    return f"{name} is {width} filters of {channels}x{height}x{height}, not those of the library"


def _notes(backbone: nn.Module) -> list[str]:
    """What of a network does not show in its weights."""
    notes = []
    if isinstance(backbone, ResNet):
        conv = backbone.get_submodule("conv1")
        stride, padding = getattr(conv, "stride", (2,))[0], getattr(conv, "padding", (3,))[0]
        if (stride, padding) != (2, 3):
            notes.append(f"conv1 has stride {stride} and padding {padding}")
        if isinstance(backbone.get_submodule("maxpool"), nn.Identity):
            notes.append("there is no max-pooling: set maxpool to nn.Identity()")
    elif isinstance(backbone, ConvFCBackbone):
        conv = backbone.get_submodule("conv1")
        if isinstance(conv, nn.Conv2d):
            notes.append(f"features.0 has stride {conv.stride[0]} and padding {conv.padding[0]}")
    return notes
