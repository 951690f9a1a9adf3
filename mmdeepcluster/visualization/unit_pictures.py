"""Pictures of what units of a network hold on to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdeepcluster.visualization.explore_pictures import Picture, contact_sheet, enlarged

# A place that is larger than this part of the image is marked, a smaller one is cut out.
_CUT_BELOW = 0.5
_COLOUR = (255, 64, 32)


class Place(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of an image."""

    top: int
    bottom: int
    left: int
    right: int


def place_of(gradient: NDArray[np.floating]) -> Place | None:
    """The pixels that an activation depends on: where its gradient (C, H, W) is not zero.

    Returns:
        The smallest rectangle around them, None where there is no such pixel.
    """
    touched = (gradient != 0).any(axis=0)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    if not len(rows):
        return None
    return Place(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def top_images(activations: NDArray[np.floating], number: int) -> NDArray[np.int64]:
    """The images (k,) whose activation (N,) is largest, the largest first; ties in order."""
    return np.argsort(-activations, kind="stable")[:number].astype(np.int64)


def liveliest(activations: NDArray[np.floating], number: int) -> list[int]:
    """The units whose activation (N, C) varies most over the images, in order of their number."""
    order = np.argsort(-activations.std(axis=0), kind="stable")[:number]
    return sorted(order.tolist())


def filter_pictures(weights: NDArray[np.floating]) -> list[Picture]:
    """Filters (n, C, k, k) as pictures (k, k, 3), grey for 0 and each with its own scale.

    Args:
        weights: Of 3 channels for colours, or of 1 for grey values.

    Raises:
        ValueError: For another number of channels.
    """
    if weights.shape[1] not in (1, 3):
        raise ValueError(f"filters of 1 or 3 channels can be seen, got {weights.shape[1]}")
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    scaled = weights / np.maximum(largest, 1e-12) / 2 + 0.5
    colours = np.broadcast_to(scaled, (len(weights), 3, *weights.shape[2:]))
    pixels = (colours * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return list(np.ascontiguousarray(pixels))


def filter_sheet(pictures: Sequence[Picture], side: int = 40, columns: int = 16) -> Picture:
    """Filters side by side, each about ``side`` pixels wide."""
    factor = max(1, side // len(pictures[0]))
    return contact_sheet([enlarged(picture, factor) for picture in pictures], columns)


def shown_place(picture: Picture, place: Place | None, side: int = 96) -> Picture:
    """A square of ``side`` pixels: a small place cut out, a large one marked in its image."""
    height, width = picture.shape[:2]
    if place is not None:
        longest = max(place.bottom - place.top, place.right - place.left)
        if longest <= _CUT_BELOW * min(height, width):
            return _resized(_square(picture, place, longest), side)
    image = _resized(picture, side)
    whole = place is None or place == Place(0, height, 0, width)
    return image if whole or place is None else _marked(image, place, side / height, side / width)


def _square(picture: Picture, place: Place, longest: int) -> Picture:
    """The smallest square around a place that lies in the image."""
    height, width = picture.shape[:2]
    top = min(max((place.top + place.bottom - longest) // 2, 0), height - longest)
    left = min(max((place.left + place.right - longest) // 2, 0), width - longest)
    return picture[top : top + longest, left : left + longest]


def _marked(image: Picture, place: Place, down: float, right: float) -> Picture:
    found = image.copy()
    top, bottom = int(place.top * down), max(int(place.bottom * down) - 1, 0)
    left, far = int(place.left * right), max(int(place.right * right) - 1, 0)
    for offset in (0, 1):
        found[[top + offset, bottom - offset], left : far + 1] = _COLOUR
        found[top : bottom + 1, [left + offset, far - offset]] = _COLOUR
    return found


def _resized(picture: Picture, side: int) -> Picture:
    enlarge = min(picture.shape[:2]) < side
    kind = Image.Resampling.NEAREST if enlarge else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), kind))
