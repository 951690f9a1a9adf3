"""Figures of the stages before there are features, as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mmdeepcluster.visualization.exploration import Exploration, Layer, OwnImage, Step
from mmdeepcluster.visualization.explore_parts import escape, figure, for_each_own, picture
from mmdeepcluster.visualization.explore_pictures import diverging, grey, sequential


def originals(data: Exploration) -> str:
    """The images as they are."""
    items = [
        figure(
            picture(image.original, image.name, "photo smooth", "jpeg"),
            f"{image.name}, {image.size[0]} \u00d7 {image.size[1]}",
        )
        for image in data.own
    ]
    return f'<div class="photos">{"".join(items)}</div>'


def steps(data: Exploration, which: str) -> str:
    """Pictures after each step of a pipeline, and further draws of the training one."""

    def make(index: int) -> str:
        image = data.own[index]
        content = _steps(image.train_steps if which == "train" else image.eval_steps, image.name)
        if which == "train":
            draws = [picture(p, f"draw {n}", "view") for n, p in enumerate(image.train_draws, 2)]
            content += figure(
                f'<div class="row">{"".join(draws)}</div>', "Further draws of the same image."
            )
        return content

    return for_each_own(data, make)


def _steps(found: Sequence[Step], name: str) -> str:
    items = [
        f"<li>{picture(step.picture, f'{name} after {step.name}', 'view')}"
        f"<code>{_breakable(step.name)}</code></li>"
        for step in found
    ]
    return figure(f'<ol class="steps">{"".join(items)}</ol>')


def planes(data: Exploration) -> str:
    """Grey value and gradients."""

    def make(index: int) -> str:
        items = []
        for name, plane in data.own[index].planes.items():
            colours = grey(plane) if name == "grey value" else diverging(plane)
            words = name if name == "grey value" else f"{name} gradient"
            items.append(figure(picture(colours, words, "plane"), words))
        return f'<div class="row">{"".join(items)}</div>'

    return for_each_own(data, make)


def turns(data: Exploration) -> str:
    """The four turns."""

    def make(index: int) -> str:
        items = [
            figure(picture(p, f"turned by {90 * n} degrees", "view"), f"{90 * n}\u00b0")
            for n, p in enumerate(data.own[index].turned)
        ]
        return f'<div class="row">{"".join(items)}</div>'

    return for_each_own(data, make)


def network(data: Exploration) -> str:
    """Blocks of the layers, and feature maps of the own images."""
    highest = max((layer.shape[1] for layer in data.layers if len(layer.shape) == 3), default=1)
    blocks = "".join(_block(layer, highest) for layer in data.layers)
    diagram = figure(
        f'<ol class="layers">{blocks}</ol>',
        "Channels \u00d7 height \u00d7 width, or the width of a vector.",
    )
    return diagram + for_each_own(data, lambda index: _maps(data.own[index]))


def _block(layer: Layer, highest: int) -> str:
    height = np.log2(layer.shape[1] + 1) / np.log2(highest + 1) if len(layer.shape) == 3 else 0.08
    width = min(6 + 5 * np.log2(layer.shape[0] + 1), 72)
    size = " \u00d7 ".join(map(str, layer.shape))
    marks = (" tapped" if layer.tapped else "") + ("" if layer.used else " unused")
    note = "<em>feature</em>" if layer.tapped else ""
    return (
        f'<li class="layer {layer.kind}{marks}"><svg viewBox="0 0 76 56" aria-hidden="true">'
        f'<rect x="{38 - width / 2:.1f}" y="{28 - 26 * height:.1f}" width="{width:.1f}" '
        f'height="{52 * height:.1f}" rx="2"/></svg><b>{_breakable(layer.name)}</b>'
        f"<span>{size}</span>{note}</li>"
    )


def _breakable(name: str) -> str:
    """A name that may go on in the next line before a capital and behind a bracket."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\()", "<wbr>", escape(name))


def _maps(image: OwnImage) -> str:
    rows = []
    for found in image.maps:
        pictures = "".join(
            picture(sequential(values), f"channel {channel} of {found.layer}", "map")
            for channel, values in zip(found.channels, found.maps, strict=True)
        )
        size = " \u00d7 ".join(map(str, found.maps.shape[1:]))
        rows.append(
            figure(
                f'<div class="row tight">{pictures}</div>',
                f"{found.layer}: channels {', '.join(map(str, found.channels))} of "
                f"{found.total}, {size}",
            )
        )
    return "".join(rows)
