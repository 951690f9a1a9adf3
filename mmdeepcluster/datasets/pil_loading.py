"""Reading image files with Pillow: any mode to 8-bit RGB, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

# Pillow identifies these formats but has no decoder of its own for them; EPS would run PostScript
# from a file of unknown origin through Ghostscript.
_UNREADABLE_FORMATS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The order of Image.ID is the order of trial: preinit() puts JPEG, PNG and GIF first.
Image.preinit()
Image.init()
READABLE_FORMATS: tuple[str, ...] = tuple(
    name for name in Image.ID if name not in _UNREADABLE_FORMATS
)
IMAGE_EXTENSIONS: frozenset[str] = frozenset(
    extension.lower()
    for extension, name in Image.registered_extensions().items()
    if name in READABLE_FORMATS
)


def load_rgb(path: str | Path | BinaryIO) -> Image.Image:
    """Reads an image file of any mode as 8-bit RGB.

    The EXIF orientation is applied, transparency is laid over white, and the first frame of a
    file with several is taken. 16-bit grey is divided by 256. 32-bit integers are taken as they
    are when they lie in 0..255, divided by 256 when they lie in 0..65535; floats are multiplied
    by 255 when they lie in 0..1 and taken as they are when they lie in 0..255; any other range is
    stretched from its minimum and maximum to 0..255.

    Args:
        path: the image file, or one that is open.

    Returns:
        The image in mode 'RGB'.

    Raises:
        OSError: the file does not exist, is no image or is damaged. Pillow raises other
            exceptions (SyntaxError, ValueError, ...) for some damaged files.
        ValueError: a float image holds NaN or infinity.
    """
    with Image.open(path, formats=READABLE_FORMATS) as image:
        image.load()
        return to_rgb(_upright(image))


def exif_orientation(image: Image.Image) -> Any:
    """The EXIF orientation of an opened file: 2..8 need a turn, anything else is upright."""
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        # The pixels are fine: as in image viewers, an EXIF block that cannot be parsed, which
        # Pillow reports by many exception types, counts as having no orientation.
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Turns an image as its EXIF orientation says."""
    operation = _UPRIGHT.get(exif_orientation(image))
    return image if operation is None else image.transpose(operation)


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a decoded image of any mode to RGB; how is said at :func:`load_rgb`.

    Raises:
        ValueError: a float image holds NaN or infinity.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_eight_bits(image)
    if image.mode == "La":  # premultiplied grey converts to LA alone
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scales a 16-bit, 32-bit or float grey image to mode 'L'."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode.startswith("I;16"):
        scaled = values >> 8
    elif not np.isfinite(low) or not np.isfinite(high):
        raise ValueError("the float image holds NaN or infinity")
    elif image.mode == "F" and low >= 0 and high <= 1:
        scaled = np.rint(values * 255.0)
    elif low >= 0 and high <= 255:
        scaled = np.rint(values)
    elif image.mode == "I" and low >= 0 and high <= 65535:
        scaled = values >> 8
    else:
        span = max(float(high) - float(low), np.finfo(np.float64).tiny)
        scaled = np.rint((values.astype(np.float64) - low) / span * 255.0)
    return Image.fromarray(scaled.astype(np.uint8))


def find_defect(path: str | Path) -> str | None:
    """Decodes a file and says why it cannot be read, or None if it can."""
    try:
        with Image.open(path, formats=READABLE_FORMATS) as image:
            if image.format != "JPEG":
                image.load()
                to_rgb(image)
                return None
            # Only decoding finds a truncated JPEG: Image.verify() does not. At 1/8 size and
            # without colour conversion the whole stream is still read, in 1/4 to 2/3 of the time.
            image.draft("L", (1, 1))
            image.load()
            return None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, IndexError, ...
        return f"{type(error).__name__}: {error}"
