"""What all figures of an exploration are made of, as HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from mmdeepcluster.visualization.exploration import Exploration
from mmdeepcluster.visualization.explore_pictures import data_uri, diverging, strip, thinned

SPRITE_COLUMNS = 64
# Views of at least so many pixels are no pixel art: they may be compressed.
_PHOTOGRAPH = 128


def escape(text: Any) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def figure(content: str, caption: str = "", style: str = "") -> str:
    """A figure with a caption."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="{style}">{content}{words}</figure>'


def picture(pixels: NDArray[Any], alt: str, style: str = "", kind: str = "png") -> str:
    """A picture in the page; small ones are enlarged without smoothing."""
    smooth = " smooth" if min(pixels.shape[:2]) > 160 else ""
    if style == "view" and min(pixels.shape[:2]) >= _PHOTOGRAPH:
        kind = "jpeg"
    return (
        f'<img class="{style}{smooth}" alt="{escape(alt)}" width="{pixels.shape[1]}" '
        f'height="{pixels.shape[0]}" src="{data_uri(pixels, kind)}">'
    )


def for_each_own(data: Exploration, make: Callable[[int], str]) -> str:
    """One panel for each own image, of which the page shows the chosen one."""
    return "".join(
        f'<div class="own" data-own="{index}">'
        f'<p class="who">{escape(image.name)}</p>{make(index)}</div>'
        for index, image in enumerate(data.own)
    )


def thumb(data: Exploration, index: int, note: str = "") -> str:
    """The small picture of an image; own ones have a ring."""
    row, column = divmod(index, SPRITE_COLUMNS)
    own = " mine" if index < len(data.own) else ""
    name = escape(data.names[index].rpartition("/")[2])
    words = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<span class="small{own}"><span class="thumb" role="img" aria-label="{name}" '
        f'title="{name}" style="--x:{column};--y:{row}"></span>{words}</span>'
    )


def thumbs(items: Sequence[str]) -> str:
    """Small pictures in a row that wraps."""
    return f'<div class="thumbs">{"".join(items)}</div>'


def strip_figure(vector: NDArray[Any], what: str) -> str:
    """A vector (D,) as a strip of colours."""
    rows = strip(vector)
    return figure(
        picture(diverging(rows), what, "strip"),
        f"The {what}: {len(vector)} numbers from {vector.min():.3g} to {vector.max():.3g}.",
    )


def heat(rows: NDArray[Any], caption: str) -> str:
    """A matrix (N, D) as a map of colours."""
    return figure(picture(diverging(thinned(rows)), caption, "heat"), caption)


def side_by_side(*figures: str) -> str:
    """Figures beside each other where there is room."""
    return f'<div class="pair">{"".join(figures)}</div>'
