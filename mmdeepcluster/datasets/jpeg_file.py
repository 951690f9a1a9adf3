"""JPEG files decoded by OpenCV: the pixels of Pillow, sooner, and at 1/2, 1/4 or 1/8 size."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from mmdeepcluster.datasets.decode_error import DecodeError
from mmdeepcluster.datasets.pil_loading import exif_orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
REDUCTIONS = (8, 4, 2)
# EXIF orientation: what makes the picture upright.
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.flip(pixels, -1),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


class JpegFile:
    """A JPEG file in memory whose header has been read, but no pixel.

    Args:
        data: the whole file.
        size: width and height as stored.
        orientation: of EXIF; 1, or anything that is not 2..8, is upright.
        by_pillow: reads the same file by Pillow, for the case that OpenCV cannot.

    Attributes:
        size: width and height of the upright image, as in Pillow.
        mode: 'RGB', as in Pillow.
        is_upright: whether it is stored as it is to be seen.
    """

    mode = "RGB"

    def __init__(
        self,
        data: bytes,
        size: tuple[int, int],
        orientation: int,
        by_pillow: Callable[[], Image.Image],
    ) -> None:
        self._data = data
        self._stored = size
        self._orientation = orientation
        self._by_pillow = by_pillow
        self.is_upright = orientation not in _UPRIGHT
        self.size = size[::-1] if orientation in (5, 6, 7, 8) else size

    def decode(self, reduction: int = 1) -> NDArray[Any]:
        """Decodes the file.

        Args:
            reduction: 1, 2, 4 or 8: sides of the result are that much smaller, rounded up. Less
                of the image is computed then, by a smaller transform of each block.

        Returns:
            RGB pixels (H, W, 3), upright; of full size where OpenCV cannot decode the file but
            Pillow can.

        Raises:
            DecodeError: the file is damaged.
        """
        flags = _FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = cv2.imdecode(np.frombuffer(self._data, np.uint8), flags)
        except cv2.error:
            pixels = None
        width, height = (-(-side // reduction) for side in self._stored)
        if pixels is None or pixels.shape != (height, width, 3):
            return self._decode_by_pillow()
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        turn = _UPRIGHT.get(self._orientation)
        return pixels if turn is None else turn(pixels)

    def _decode_by_pillow(self) -> NDArray[Any]:
        try:
            return np.array(self._by_pillow().convert("RGB"))
        except Exception as error:
            raise DecodeError(str(error)) from error


def open_jpeg(data: bytes, by_pillow: Callable[[], Image.Image]) -> JpegFile | None:
    """Reads the header of a file that OpenCV decodes exactly as Pillow does.

    Both use libjpeg-turbo, in grey and in RGB alike. Files of all other kinds are left to Pillow:
    other formats, CMYK, and files that end before their end mark, which OpenCV may fill up in
    silence.

    Args:
        data: a whole file, of any format.
        by_pillow: reads the same file by Pillow.

    Returns:
        The file, or None if it is to be read by Pillow.
    """
    if not data.startswith(_START) or not data.endswith(_END):
        return None
    try:
        with Image.open(BytesIO(data), formats=("JPEG",)) as image:
            if image.mode not in ("L", "RGB"):
                return None
            return JpegFile(data, image.size, exif_orientation(image), by_pillow)
    except Exception:
        return None  # Pillow has the words for what is wrong with it
