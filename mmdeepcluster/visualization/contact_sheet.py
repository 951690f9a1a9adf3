"""Sheets of small images with captions, drawn by Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_GAP = 8
_LINE = 15
_FONT_SIZE = 11
_INK, _FAINT, _PAPER, _FRAME = "#1a1a1a", "#5c5c5c", "#ffffff", "#d8d8d8"


class Cell(NamedTuple):
    """An image of a sheet.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3).
        lines: Captions below it, the first one dark.
    """

    pixels: NDArray[np.uint8]
    lines: tuple[str, ...] = ()


def contact_sheet(rows: Sequence[Sequence[Cell]], title: str = "", side: int = 144) -> Image.Image:
    """Puts images into a grid.

    Small images are enlarged by whole numbers, pixel by pixel; larger ones are reduced to fit.

    Args:
        rows: The grid; rows may have different lengths.
        title: A line above it.
        side: Width and height of the place of an image, in pixels.

    Returns:
        The sheet, RGB.
    """
    font: Any = ImageFont.load_default(size=_FONT_SIZE)
    columns = max(len(row) for row in rows)
    lines = max(len(cell.lines) for row in rows for cell in row)
    height = side + lines * _LINE + _GAP
    top = _GAP + (_LINE + _GAP if title else 0)
    size = (_GAP + columns * (side + _GAP), top + len(rows) * height)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_GAP, _GAP), _fitted(title, size[0] - 2 * _GAP, font), _INK, font)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            x, y = _GAP + column * (side + _GAP), top + number * height
            _put(sheet, draw, cell, x, y, side, font)
    return sheet


def _put(sheet: Image.Image, draw: Any, cell: Cell, x: int, y: int, side: int, font: Any) -> None:
    image = _scaled(Image.fromarray(np.ascontiguousarray(cell.pixels)).convert("RGB"), side)
    left, upper = x + (side - image.width) // 2, y + (side - image.height) // 2
    sheet.paste(image, (left, upper))
    frame = (left - 1, upper - 1, left + image.width, upper + image.height)
    draw.rectangle(frame, outline=_FRAME)
    for number, line in enumerate(cell.lines):
        ink = _FAINT if number else _INK
        draw.text((x, y + side + 2 + number * _LINE), _fitted(line, side, font), ink, font)


def _scaled(image: Image.Image, side: int) -> Image.Image:
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    size = (max(1, image.width * side // longest), max(1, image.height * side // longest))
    return image.resize(size, Image.Resampling.LANCZOS)


def _fitted(text: str, width: int, font: Any) -> str:
    """The end of a text that is too wide: of a path that is the file."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
