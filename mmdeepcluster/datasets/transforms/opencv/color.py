"""Colour transforms with the arithmetic of Pillow: the same clamping and the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from mmdeepcluster.datasets.transforms.opencv.draws import draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmdeepcluster.datasets.transforms.opencv.canvas import Canvas

# Pillow cuts fractions off where OpenCV rounds. Halves, at which OpenCV takes the even neighbour,
# come from whole numbers and must stay whole.
_CUT = -0.4999
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


def rgb(transform: Any, canvas: Canvas) -> None:
    """Three channels."""
    if canvas.is_grey:
        canvas.pixels = cv2.cvtColor(canvas.pixels, cv2.COLOR_GRAY2RGB)


def grayscale(transform: Any, canvas: Canvas) -> None:
    """Grey, in one or three channels."""
    grey = _grey(canvas.pixels)
    if transform.num_output_channels == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    canvas.pixels = grey


def random_grayscale(transform: Any, canvas: Canvas) -> None:
    """Grey in as many channels as there are, sometimes."""
    if torch.rand(1).item() < transform.p and not canvas.is_grey:
        canvas.pixels = cv2.cvtColor(_grey(canvas.pixels), cv2.COLOR_GRAY2RGB)


def color_jitter(transform: Any, canvas: Canvas) -> None:
    """Brightness, contrast, saturation and hue in random order."""
    drawn = draw(transform)
    pixels = canvas.pixels
    for step in drawn["fn_idx"].tolist():
        if step == _BRIGHTNESS and drawn["brightness_factor"] is not None:
            pixels = adjust_brightness(pixels, drawn["brightness_factor"])
        elif step == _CONTRAST and drawn["contrast_factor"] is not None:
            pixels = adjust_contrast(pixels, drawn["contrast_factor"])
        elif step == _SATURATION and drawn["saturation_factor"] is not None:
            pixels = adjust_saturation(pixels, drawn["saturation_factor"])
        elif step == _HUE and drawn["hue_factor"] is not None:
            pixels = adjust_hue(pixels, drawn["hue_factor"])
    canvas.pixels = pixels


def adjust_brightness(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    """Blends with black."""
    return _blend(pixels, factor, pixels, 0.0, 0.0)


def adjust_contrast(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    """Blends with the mean of the grey image."""
    mean = int(cv2.mean(_grey(pixels))[0] + 0.5)
    return _blend(pixels, factor, pixels, 0.0, mean * (1.0 - factor))


def adjust_saturation(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    """Blends with the grey image; a grey image stays as it is."""
    if pixels.ndim == 2:
        return pixels
    grey = cv2.cvtColor(_grey(pixels), cv2.COLOR_GRAY2RGB)
    return _blend(pixels, factor, grey, 1.0 - factor, 0.0)


def adjust_hue(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    """Turns the hue by ``factor`` of a circle; a grey image stays as it is."""
    if pixels.ndim == 2:
        return pixels
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    # In Pillow a circle has 255 steps, in OpenCV 256.
    shift = round(int(factor * 255) * 256 / 255)
    hsv[..., 0] += np.uint8(shift % 256)  # in bytes, so that it goes round
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, dst=hsv)


def _grey(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _blend(
    left: NDArray[Any], alpha: float, right: NDArray[Any], beta: float, plus: float
) -> NDArray[Any]:
    """Gives alpha * left + beta * right + plus, cut off at 0 and 255."""
    return cv2.addWeighted(left, alpha, right, beta, plus + _CUT)
