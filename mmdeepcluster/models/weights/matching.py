"""Finds the backbone in a file of weights and says what fitted; nothing is loaded in part.

Every dict of the file, every prefix and every naming is tried, and the network that fits best is
taken. A name of a layout is for the report and decides between networks that fit equally well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmdeepcluster.models.weights.layouts import LAYOUTS, Container, Layout, containers, find_layout
from mmdeepcluster.models.weights.naming import Naming, is_constant, is_optional, namings

_SHOWN = 12


@dataclass
class WeightsMatch:
    """What a file holds of a network.

    Attributes:
        layout: Name of the layout of the file.
        place: Keys that lead to the dict of the backbone, joined by dots.
        prefix: What stands before the names of the backbone there.
        weights: Weights to load, by the names of the whole network.
        backbone_size: Number of weights of the backbone, without the optional ones.
        missing: Names of backbone weights that the file lacks.
        mismatched: Shapes in the file and in the network, by name.
        unexpected: Names in the file of weights of the backbone that the network has no place for.
        defaults: Names of optional weights that keep their value: constants and batch counters.
        anew: Parts of the network that start anew, each with the reason.
        left_out: Number of weights of the file that are not used, by the part that they belong to.
    """

    layout: str
    place: str
    prefix: str
    weights: dict[str, Tensor]
    backbone_size: int
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)
    anew: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def matched(self) -> list[str]:
        """Names of backbone weights that the file has."""
        return [n for n in self.weights if n.startswith("backbone.") and not is_optional(n[9:])]

    @property
    def complete(self) -> bool:
        """Whether the file holds exactly the backbone."""
        return not (self.missing or self.mismatched or self.unexpected)

    def lines(self) -> list[str]:
        """The report, in lines for people."""
        where = ".".join(p for p in (self.place, self.prefix.removesuffix(".")) if p)
        lines = [
            f"layout: {self.layout}" + (f", backbone below '{where}'" if where else ""),
            f"backbone: {len(self.matched)} of {self.backbone_size} weights matched",
        ]
        lines += self.problems()
        if self.defaults:
            lines.append(f"not in the file, kept as they are: {shown(self.defaults)}")
        lines += [f"starts anew: {part} ({reason})" for part, reason in self.anew.items()]
        if any(name.startswith("neck.") for name in self.weights):
            lines.append("neck: taken from the file")
        if self.left_out:
            parts = (f"{part} ({count})" for part, count in self.left_out.items())
            lines.append(f"in the file, not used: {shown(parts)}")
        return lines

    def problems(self) -> list[str]:
        """What keeps the backbone from being loaded as a whole, in lines for people."""
        lines = []
        if self.missing:
            lines.append(f"missing in the file: {shown(self.missing)}")
        if self.mismatched:
            shapes = (
                f"{name} {list(found)} instead of {list(own)}"
                for name, (found, own) in self.mismatched.items()
            )
            lines.append(f"of another shape: {shown(shapes)}")
        if self.unexpected:
            lines.append(f"in the file, but not in the backbone: {shown(self.unexpected)}")
        return lines


def shown(names: Iterable[str]) -> str:
    """The first names of many, joined."""
    names = list(names)
    rest = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def match_weights(content: Mapping[str, Any], network: nn.Module) -> WeightsMatch:
    """Finds what a file holds of the backbone, and perhaps the neck, of a network.

    The classifier of a network is never taken: its rows mean the clusters of another training.

    Args:
        content: What was read from the file: tensors in dicts of any depth.
        network: A network with ``backbone`` and ``neck``.

    Raises:
        ValueError: If no weight of the backbone is there, the Sobel kernels in the file are not
            ours, or two networks of no known layout fit equally well.
    """
    backbone: nn.Module = network.get_submodule("backbone")
    best: tuple[tuple[int, int], Container, str, Naming, Layout] | None = None
    rivals: list[str] = []
    for container in containers(content):
        for naming in namings(backbone):
            for prefix in _prefixes(container.weights, naming):
                fitting = _count(container.weights, prefix, naming, backbone)
                rank, layout = find_layout(content, container, prefix, naming.library)
                score = (fitting, -rank)
                if best is None or score > best[0]:
                    best, rivals = (score, container, prefix, naming, layout), [layout.name]
                elif score == best[0]:
                    rivals.append(layout.name)
    if best is None or best[0][0] == 0:
        raise ValueError(_nothing(content, backbone))
    if best[0][1] == -len(LAYOUTS) and len(rivals) > 1:
        raise ValueError(f"several networks in it fit: {', '.join(rivals)}: keep one of them")
    _, container, prefix, naming, layout = best
    return _match(container, prefix, naming, layout, network)


def _prefixes(weights: Mapping[str, Tensor], naming: Naming) -> list[str]:
    """What may stand before the names: seen at the first, a middle and the last weight."""
    names = [source for own, source in naming.sources.items() if not is_optional(own)]
    anchors = {names[0], names[len(names) // 2], names[-1]}
    found = {
        key.removesuffix(anchor)
        for anchor in anchors
        for key in weights
        if key == anchor or key.endswith(f".{anchor}")
    }
    return sorted(found)


def _count(weights: Mapping[str, Tensor], prefix: str, naming: Naming, backbone: nn.Module) -> int:
    """Weights of the backbone that are there in the right shape."""
    own = backbone.state_dict()
    return sum(
        prefix + source in weights and weights[prefix + source].shape == own[name].shape
        for name, source in naming.sources.items()
        if not is_optional(name)
    )


def _match(
    container: Container, prefix: str, naming: Naming, layout: Layout, network: nn.Module
) -> WeightsMatch:
    weights, own = container.weights, network.get_submodule("backbone").state_dict()
    match = WeightsMatch(
        layout.name, container.place, prefix, {}, sum(not is_optional(name) for name in own)
    )
    used = set()
    for name, source in naming.sources.items():
        key = prefix + source
        if key not in weights:
            (match.defaults if is_optional(name) else match.missing).append(name)
            continue
        used.add(key)
        value = weights[key]
        if value.shape != own[name].shape:
            match.mismatched[name] = (tuple(value.shape), tuple(own[name].shape))
            continue
        if is_constant(name):
            _check_constant(name, value, own[name])
        bias = prefix + naming.biases.get(name, "")
        if name in naming.biases and bias in weights:
            used.add(bias)
            value = value - weights[bias]
        match.weights[f"backbone.{name}"] = value
    rest = [key for key in weights if key not in used]
    match.unexpected = [
        key for key in rest if key.startswith(prefix) and naming.is_surplus(key[len(prefix) :])
    ]
    _check_biases_of_sobel(weights, prefix)
    neck = _match_neck(match, layout, container, network)
    left = (key for key in rest if key not in match.unexpected and key not in neck)
    match.left_out = dict(Counter(_part(key) for key in left))
    for name, _ in network.named_children():
        if name == "head":
            match.anew[name] = "its rows are the clusters of this training"
    return match


def _match_neck(
    match: WeightsMatch, layout: Layout, container: Container, network: nn.Module
) -> set[str]:
    """Takes the neck if all of it is there; returns the keys that were used."""
    neck = getattr(network, "neck", None)
    own = {} if neck is None else neck.state_dict()
    if not own:
        return set()
    keys = {name: layout.neck + name for name in own}
    there = [n for n in own if keys[n] in container.weights] if layout.neck else []
    if not there:
        match.anew["neck"] = "there is none of its names in the file"
        return set()
    fitting = [n for n in there if container.weights[keys[n]].shape == own[n].shape]
    lacking = [n for n in own if n not in fitting and not is_optional(n)]
    if lacking:
        match.anew["neck"] = f"that of the file is another one: {shown(lacking)} differ"
        return set()
    match.weights |= {f"neck.{name}": container.weights[keys[name]] for name in fitting}
    return {keys[name] for name in fitting}


def _part(key: str) -> str:
    """The part of another network that a weight belongs to."""
    wrappers = ("module", "model", "_orig_mod")
    parts = key.split(".")
    depth = next((i for i, part in enumerate(parts) if part not in wrappers), 0)
    return ".".join(parts[: depth + (2 if len(parts) > depth + 2 else 1)])


def _check_constant(name: str, value: Tensor, own: Tensor) -> None:
    if not torch.allclose(value.float().cpu(), own.float().cpu(), atol=1e-6):
        raise ValueError(
            f"the Sobel kernels of the file are not ours ({name} is {value.flatten().tolist()}, "
            f"ours {own.flatten().tolist()}): its first convolution would see other gradients"
        )


def _check_biases_of_sobel(weights: Mapping[str, Tensor], prefix: str) -> None:
    for key in (f"{prefix}sobel.0.bias", f"{prefix}sobel.1.bias"):
        if key in weights and bool(weights[key].any()):
            raise ValueError(f"the Sobel layer of the file has a bias, {key}; ours has none")


def _nothing(content: Mapping[str, Any], backbone: nn.Module) -> str:
    """What to say of a file in which no weight of the backbone was found."""
    found = [key for container in containers(content) for key in container.weights]
    if not found:
        return f"there is no tensor in it; its keys are {shown(map(str, content))}"
    return (
        f"no weight of the backbone {type(backbone).__name__} is in it "
        f"(it has {shown(found[:4])}; the backbone {shown(list(backbone.state_dict())[:4])}): is "
        "model.backbone the network of the file?"
    )


def explain(match: WeightsMatch, network: nn.Module) -> str | None:
    """A known reason why the backbone does not fit, with the key to change, or None."""
    for name, (found, own) in match.mismatched.items():
        if len(own) == 4 and len(found) == 4 and "conv1" in name and found[1] != own[1]:
            return _explain_channels(found[1], network.get_submodule("backbone"))
        if len(own) == 4 and len(found) == 4 and found[:2] == own[:2] and name == "conv1.weight":
            return (
                f"the first convolution of the file is {found[2]}x{found[3]}, that of the backbone "
                f"{own[2]}x{own[3]}: see model.backbone.stem, or a Sobel layer folded into it"
            )
    if any(".module" not in key and key.startswith("layer") for key in match.unexpected):
        return "the file is of a deeper network: see model.backbone.depth"
    return None


def _explain_channels(channels: int, backbone: Any) -> str:
    sobel = getattr(backbone, "sobel", None) is not None
    takes = f"{backbone.stem_channels} channels" + (" behind its Sobel layer" if sobel else "")
    text = f"the first convolution of the file takes {channels} channels, the backbone's {takes}: "
    if sobel:
        return f"{text}the file is of a network without Sobel layer, set model.backbone.sobel=False"
    if channels == 2:
        return f"{text}the file is of a network behind a Sobel layer, set model.backbone.sobel=True"
    return f"{text}set model.backbone.in_channels={channels}"
