"""How other libraries name the weights of a backbone of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from mmdeepcluster.models.backbones import ConvFCBackbone, TimmBackbone, TorchvisionBackbone

# Weights that a file need not have: they are constants, or count batches and change no output.
_OPTIONAL = ("sobel.gray", "sobel.kernels")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Naming:
    """Names that a library gives to the weights of one backbone.

    Attributes:
        library: Who names them so.
        sources: Name there of each weight of the backbone, by our name.
        biases: Name there of the bias of the convolution before a BN, by our name of the running
            mean of that BN. Ours have none: batch normalisation takes a bias away again, so that
            running mean minus bias gives the same outputs in both modes.
        classifiers: First parts of names that belong to the classifier there, not to the backbone.
    """

    library: str
    sources: Mapping[str, str]
    biases: Mapping[str, str] = field(default_factory=dict)
    classifiers: tuple[str, ...] = ()

    @property
    def parts(self) -> set[str]:
        """First components of the names of the backbone."""
        return {name.split(".")[0] for name in self.sources.values()}

    def is_surplus(self, name: str) -> bool:
        """Whether a weight that was not used would have been one of the backbone."""
        used = {*self.sources.values(), *self.biases.values()}
        if name in used or name.endswith(_COUNTER) or name.split(".")[0] == "sobel":
            return False
        return name.split(".")[0] in self.parts and not name.startswith(self.classifiers)


def is_optional(name: str) -> bool:
    """Whether a backbone works without this weight of a file, by our name."""
    return name in _OPTIONAL or name.endswith(_COUNTER)


def is_constant(name: str) -> bool:
    """Whether it is the same in every network, by our name."""
    return name in _OPTIONAL


def namings(backbone: nn.Module) -> tuple[Naming, ...]:
    """All names that the weights of a backbone may have in a file.

    Networks with the blocks of torchvision have its names already, which timm and OpenMMLab share.
    """
    names = list(backbone.state_dict())
    if isinstance(backbone, TimmBackbone):
        return (Naming("timm", {name: name.removeprefix("model.") for name in names}),)
    if isinstance(backbone, TorchvisionBackbone):
        sources = {name: name.removeprefix("network.") for name in names}
        return (Naming("torchvision", sources, classifiers=(f"{backbone.classifier_name}.",)),)
    if isinstance(backbone, ConvFCBackbone):
        numbered = torchvision_naming(backbone)
        parallel = Naming(
            "DeepCluster",
            {n: _parallel(source) for n, source in numbered.sources.items()},
            {n: _parallel(source) for n, source in numbered.biases.items()},
            numbered.classifiers,
        )
        return numbered, parallel, Naming("mmdeepcluster", dict(zip(names, names, strict=True)))
    library = "torchvision / timm" if hasattr(backbone, "layer4") else "mmdeepcluster"
    return (Naming(library, dict(zip(names, names, strict=True))),)


def torchvision_naming(backbone: ConvFCBackbone) -> Naming:
    """Layers of AlexNet or VGG as torchvision, and the code of DeepCluster, number them."""
    places, last = _places(backbone)
    sources, biases = {}, {}
    for name in backbone.state_dict():
        layer, _, leaf = name.rpartition(".")
        if layer == "sobel":
            sources[name] = f"sobel.{('gray', 'kernels').index(leaf)}.weight"
            continue
        sources[name] = f"{places[layer]}.{leaf}"
        if layer.startswith("bn") and leaf == "running_mean":
            biases[name] = f"{places[f'conv{layer[2:]}']}.bias"
    # behind the last layer of ours: the ReLU, perhaps Dropout, and the classifier
    classifiers = tuple(f"classifier.{number}." for number in range(last + 1, last + 9))
    return Naming("torchvision", sources, biases, classifiers)


def _places(backbone: ConvFCBackbone) -> tuple[dict[str, str], int]:
    """Numbered place of each layer, and the number of the last fully connected one."""
    places: dict[str, str] = {}
    in_features, in_classifier, last = 0, 0, 0
    for stage in backbone.stage_names:
        kind, number = stage.split("_")
        if kind == "conv":
            places[f"conv{number}"] = f"features.{in_features}"
            in_features += 1
            if isinstance(backbone.get_submodule(f"bn{number}"), nn.BatchNorm2d):
                places[f"bn{number}"] = f"features.{in_features}"
                in_features += 1
        elif kind == "fc":
            in_classifier += int(number) in backbone.dropped
            places[f"fc{number}"] = f"classifier.{in_classifier}"
            last = in_classifier
            in_classifier += 1
        elif f"fc{number}" in places:
            in_classifier += 1  # its ReLU
        else:
            in_features += 1  # ReLU or pooling
    return places, last


def _parallel(name: str) -> str:
    """The code of DeepCluster lets several GPUs share the convolutions alone."""
    head, _, rest = name.partition(".")
    return f"features.module.{rest}" if head == "features" else name
