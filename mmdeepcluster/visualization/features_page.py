"""The page of what a network has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from mmdeepcluster.visualization.explore_pictures import Picture, contact_sheet, data_uri
from mmdeepcluster.visualization.page import html_page


@dataclass(frozen=True)
class UnitPictures:
    """What one unit of a layer answers to.

    Attributes:
        unit: Its number.
        top: Images that activate it most, the most first, squares of one size.
        values: Its activation in them.
        names: Their names.
        ascent: The image of the gradient ascent.
        reached: Its activation in that image, averaged over positions.
        mean: Its largest such average over the images of the data set.
        started: What the ascent started from: ``noise``, or ``image`` where noise has no gradient.
    """

    unit: int
    top: Sequence[Picture]
    values: Sequence[float]
    names: Sequence[str]
    ascent: Picture
    reached: float
    mean: float
    started: str


@dataclass(frozen=True)
class LayerPictures:
    """What the chosen units of a layer answer to.

    Attributes:
        layer: Its name.
        shape: Shape of its output for one image.
        steps: Steps of the ascent.
        silent: Units of the layer that no image activates.
        units: The units.
    """

    layer: str
    shape: tuple[int, ...]
    steps: int
    silent: int
    units: Sequence[UnitPictures]


@dataclass(frozen=True)
class LearnedFeatures:
    """Everything on the page.

    Attributes:
        network: The network in words.
        origin: Where the weights are from.
        num_images: Images that were looked at.
        dataset: Of which data set.
        filters: Sheets of the filters of the first convolution, by name.
        layers: The layers.
    """

    network: str
    origin: str
    num_images: int
    dataset: str
    filters: dict[str, Picture]
    layers: Sequence[LayerPictures]


def top_sheet(layer: LayerPictures) -> Picture:
    """The images that activate each unit most: a unit in each row."""
    return contact_sheet([p for unit in layer.units for p in unit.top], len(layer.units[0].top))


def ascent_sheet(layer: LayerPictures, columns: int = 4) -> Picture:
    """The images of the ascents."""
    return contact_sheet([unit.ascent for unit in layer.units], columns)


def features_page(data: LearnedFeatures) -> str:
    """One self-contained HTML page."""
    links = "".join(
        f'<a href="#{escape(layer.layer)}">{escape(layer.layer)}</a>' for layer in data.layers
    )
    filters = "".join(
        f'<figure><img class="sheet" alt="filters: {escape(name)}" src="{data_uri(sheet)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, sheet in data.filters.items()
    )
    title = "Learned features"
    body = (
        f'<nav class="top"><b>{title}</b><a href="#filters">filters</a>{links}'
        '<span class="spring"></span><button type="button" data-scheme-switch>Dark</button></nav>'
        f"<main><h1>{title}</h1><p>{escape(data.network)}, {escape(data.origin)}; "
        f"{data.num_images} images of {escape(data.dataset)}.</p>"
        '<section id="filters"><h2>Filters of the first convolution</h2><p>Each with its own '
        "scale; grey is zero. Filters that look like noise have learned nothing yet.</p>"
        f'<div class="figures">{filters or _NO_FILTERS}</div></section>'
        f"{''.join(_layer(layer) for layer in data.layers)}</main>"
    )
    return html_page(title, body, styles=("explore.css", "features.css"))


_NO_FILTERS = "<p>The network has no convolution whose filters could be seen.</p>"


def _layer(layer: LayerPictures) -> str:
    units = "".join(_unit(unit) for unit in layer.units)
    size = " \u00d7 ".join(map(str, layer.shape))
    silent = f" No image activates {layer.silent} of its units." if layer.silent else ""
    return (
        f'<section class="stage" id="{escape(layer.layer)}"><h2>{escape(layer.layer)}</h2>'
        f"<p>{size}.{silent} Left an image made by {layer.steps} steps of gradient ascent, beside "
        "it the images of the data set that activate the unit most, the most first: the place "
        "that the activation depends on, cut out where it is small and marked where it is "
        f'large.</p><div class="units">{units}</div></section>'
    )


def _unit(unit: UnitPictures) -> str:
    top = "".join(
        f'<img alt="{escape(name)}" title="{escape(name)}: {value:.3g}" '
        f'src="{data_uri(picture, "jpeg")}">'
        for picture, value, name in zip(unit.top, unit.values, unit.names, strict=True)
    )
    from_image = ", from a blurred image" if unit.started == "image" else ""
    ratio = unit.reached / unit.mean if unit.mean > 0 else np.inf
    times = f", {ratio:.1f} times the most of an image" if np.isfinite(ratio) else ""
    return (
        f'<figure class="unit"><div><img class="ascent" alt="gradient ascent of unit {unit.unit}" '
        f'src="{data_uri(unit.ascent)}"><span class="tops">{top}</span></div><figcaption><b>unit '
        f"{unit.unit}</b> images {unit.values[-1]:.3g} to {unit.values[0]:.3g}; ascent "
        f"{unit.reached:.3g} on average{times}{from_image}</figcaption></figure>"
    )
