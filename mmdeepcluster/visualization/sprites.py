"""Many small images in few files: sprite sheets as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image, ImageOps, features

# A page decodes a sheet when the first of its images is shown: few enough not to be felt.
_SIDE = 16
_QUALITY = 80


@dataclass(frozen=True)
class Sprites:
    """Square images of one size, row by row on sheets of ``side`` times ``side``.

    Attributes:
        cell: Width and height of an image in pixels.
        side: Images in a row, and rows on a sheet.
        count: Images on all sheets.
        sheets: Data URIs of the sheets, WebP or JPEG.
    """

    cell: int
    side: int = _SIDE
    count: int = 0
    sheets: list[str] = field(default_factory=list, repr=False)


def make_sprites(images: Iterable[Image.Image], cell: int) -> Sprites:
    """Puts images on sheets, one sheet in memory at a time.

    Images are cut to their central square. Smaller ones are enlarged pixel by pixel, so that
    they stay as sharp as they are.

    Args:
        images: Images of any size, RGB or grey.
        cell: Width and height of a thumbnail, at least 4.

    Raises:
        ValueError: If ``cell`` is less than 4.
    """
    if cell < 4:
        raise ValueError(f"thumbnails must be at least 4 pixels wide, got {cell}")
    sheets: list[str] = []
    canvas: Image.Image | None = None
    count = 0
    for image in images:
        place = count % (_SIDE * _SIDE)
        if canvas is None:
            canvas = Image.new("RGB", (_SIDE * cell, _SIDE * cell))
        corner = (place % _SIDE * cell, place // _SIDE * cell)
        canvas.paste(_thumbnail(image, cell), corner)
        count += 1
        if place + 1 == _SIDE * _SIDE:
            sheets.append(_encode(canvas))
            canvas = None
    if canvas is not None:
        rows = -(-(count % (_SIDE * _SIDE)) // _SIDE)
        sheets.append(_encode(canvas.crop((0, 0, _SIDE * cell, rows * cell))))
    return Sprites(cell, _SIDE, count, sheets)


def _thumbnail(image: Image.Image, cell: int) -> Image.Image:
    small = min(image.size) <= cell
    method = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    if not small:
        # A first, rough reduction in the decoder's steps makes large photographs cheap.
        image = image.reduce(max(1, min(image.size) // (2 * cell)))
        method = Image.Resampling.BICUBIC
    return ImageOps.fit(image.convert("RGB"), (cell, cell), method)


def _encode(sheet: Image.Image) -> str:
    kind = "webp" if features.check("webp") else "jpeg"
    buffer = BytesIO()
    sheet.save(buffer, kind, quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
