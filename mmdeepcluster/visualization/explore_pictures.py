"""From arrays to pictures that stand in a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

# Blue for negative, near white for zero, red for positive numbers.
_DIVERGING = np.array(
    [[33, 92, 160], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]]
)
# Dark to bright in equal steps of lightness.
_SEQUENTIAL = np.array([[13, 17, 48], [45, 58, 130], [30, 120, 140], [90, 178, 98], [250, 230, 90]])
# Pixels of a heat map or a strip in one direction.
_MOST = 256


def data_uri(picture: Picture, kind: str = "png") -> str:
    """A picture (H, W[, 3]) as ``data:`` URI.

    Args:
        picture: The pixels.
        kind: ``png``, exact, or ``jpeg``, small.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": 86} if kind == "jpeg" else {"optimize": True}
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def diverging(values: NDArray[Any], limit: float | None = None) -> Picture:
    """Numbers (H, W) as colours (H, W, 3), white for 0.

    Args:
        values: The numbers.
        limit: What has the full colour. Defaults to the 99th percentile of the absolute values.
    """
    if limit is None:
        limit = float(np.percentile(np.abs(values), 99))
    scaled = np.clip(values / max(limit, 1e-12), -1, 1) / 2 + 0.5
    return _coloured(scaled, _DIVERGING)


def sequential(values: NDArray[Any]) -> Picture:
    """Numbers (H, W) as colours (H, W, 3), from dark for the smallest to bright."""
    return _coloured(_in_unit(values), _SEQUENTIAL)


def grey(values: NDArray[Any]) -> Picture:
    """Numbers (H, W) as grey values (H, W), from black for the smallest to white."""
    return (_in_unit(values) * 255).round().astype(np.uint8)


def _in_unit(values: NDArray[Any]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return (np.asarray(values, dtype=np.float64) - low) / max(high - low, 1e-12)


def _coloured(scaled: NDArray[Any], anchors: NDArray[Any]) -> Picture:
    places = np.linspace(0, 1, len(anchors))
    channels = [np.interp(scaled, places, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def strip(vector: NDArray[Any]) -> NDArray[Any]:
    """A vector (D,) in rows of at most 256 numbers, filled up with zeros."""
    rows = -(-len(vector) // _MOST)
    columns = -(-len(vector) // rows)
    filled = np.zeros(rows * columns)
    filled[: len(vector)] = vector
    return filled.reshape(rows, columns)


def thinned(matrix: NDArray[Any]) -> NDArray[Any]:
    """At most 256 rows and columns of a matrix, evenly apart."""
    rows, columns = (
        np.linspace(0, size - 1, min(size, _MOST)).round().astype(int) for size in matrix.shape
    )
    return np.asarray(matrix[np.ix_(rows, columns)])


def sprite(thumbnails: Picture, columns: int) -> Picture:
    """Small pictures (N, h, w, 3) side by side, ``columns`` in a row, black where none is left."""
    number, height, width, _ = thumbnails.shape
    rows = -(-number // columns)
    filled = np.zeros((rows * columns, height, width, 3), dtype=np.uint8)
    filled[:number] = thumbnails
    grid = filled.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width, 3))


def contact_sheet(pictures: list[Picture], columns: int, gap: int = 2) -> Picture:
    """Pictures (h, w, 3) of one size on white ground, at most ``columns`` in a row."""
    columns = min(columns, len(pictures))
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full(
        (rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, dtype=np.uint8
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def enlarged(picture: Picture, factor: int) -> Picture:
    """Every pixel of (h, w[, 3]) as a square of ``factor`` pixels."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
