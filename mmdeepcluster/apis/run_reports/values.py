"""Values of a run report as the scripts of its page read them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.apis.run_reports.clusters import ClusterTable
from mmdeepcluster.visualization.packed import packed
from mmdeepcluster.visualization.sprites import Sprites

# The names of more images would be most of the page.
MOST_NAMED = 200_000


def packed_table(table: ClusterTable) -> dict[str, Any]:
    """Columns of the table of clusters."""
    optional = {
        "entropies": table.entropies,
        "purities": table.purities,
        "main_classes": table.main_classes,
    }
    return {
        "sizes": packed(table.sizes),
        "spreads": packed(table.spreads),
        **{name: None if part is None else packed(part) for name, part in optional.items()},
        "sheets": packed(table.sheets, "i4"),
        "width": table.sheets.shape[1],
        "parts": list(table.parts),
    }


def packed_sprites(sprites: Sprites, samples: NDArray[np.int64]) -> dict[str, Any]:
    """Where the thumbnail of each image lies."""
    return {"cell": sprites.cell, "side": sprites.side, "samples": packed(samples)}


def class_numbers(labels: list[str] | None) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Numbers of the classes and their names; numbers sort as numbers."""
    if labels is None:
        return None, []
    distinct = set(labels)
    names = sorted(distinct, key=int) if all(map(str.isdecimal, distinct)) else sorted(distinct)
    number = {name: position for position, name in enumerate(names)}
    return np.array([number[label] for label in labels], np.int64), names


def packed_names(names: list[str], shown: NDArray[np.int64]) -> dict[str, Any]:
    """Names of the images, or of more than ``MOST_NAMED`` images of those that are shown.

    Returns:
        ``names`` in one text, what they all begin with (``name_start``), and the images that they
        are of (``named``), None for all.
    """
    if not names:
        return {}
    named = None
    start = common_folder(names)
    if len(names) > MOST_NAMED:
        names, named = [names[sample] for sample in shown.tolist()], packed(shown)
    text = "\n".join(name[len(start) :].replace("\n", " ") for name in names)
    return {"names": text, "name_start": start, "named": named}


def on_grid(positions: NDArray[np.float32]) -> NDArray[np.int64]:
    """Places on a grid of 65,536 squares a side, in the proportions that they have."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    side = max(float((high - low).max()), 1e-12)
    centred = (positions - (low + high) / 2) / side + 0.5
    grid: NDArray[np.int64] = np.clip(np.rint(centred * 65535), 0, 65535).astype(np.int64)
    return grid


def common_folder(names: list[str]) -> str:
    """What all names begin with, up to a slash."""
    if not names:
        return ""
    same = os.path.commonprefix([min(names), max(names)])  # noqa: RUF071
    return same[: same.rfind("/") + 1]
