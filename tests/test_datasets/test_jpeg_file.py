"""JPEG files by OpenCV: the pixels of Pillow for every kind that is not left to Pillow (R2)."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.datasets.decode_error import DecodeError
from mmdeepcluster.datasets.jpeg_file import open_jpeg
from mmdeepcluster.datasets.pil_loading import load_rgb

ORIENTATION_TAG = 0x0112


def photo(size=(70, 45), mode="RGB"):
    """A smooth coloured picture without any symmetry."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([200 * x + 30 * y, 220 * y * y, 120 + 80 * np.sin(6 * x + 3 * y)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encode(image, form="JPEG", **options):
    data = BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def never():
    raise AssertionError("Pillow was asked")


def with_orientation(value):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = value
    return encode(photo(), exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        encode(photo(), quality=95),
        encode(photo(), quality=40, subsampling=0),
        encode(photo(), quality=75, subsampling=1, progressive=True),
        encode(photo(), keep_rgb=True),
        encode(photo(mode="L")),
        encode(photo(), icc_profile=b"\0" * 200),
        encode(photo(), exif=b"Exif\0\0no exif at all"),
        encode(photo(size=(1, 1))),
    ],
)
def test_pixels_are_those_of_pillow(data):
    file = open_jpeg(data, never)
    reference = load_rgb(BytesIO(data))
    assert file.size == reference.size and file.mode == reference.mode == "RGB"
    np.testing.assert_array_equal(file.decode(), np.asarray(reference))


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_orientation(orientation):
    data = with_orientation(orientation)
    file, reference = open_jpeg(data, never), load_rgb(BytesIO(data))
    assert file.size == reference.size == ((45, 70) if 5 <= orientation <= 8 else (70, 45))
    np.testing.assert_array_equal(file.decode(), np.asarray(reference))
    reduced = file.decode(2).astype(float)
    wanted = np.asarray(reference.resize(reduced.shape[1::-1], Image.Resampling.BOX), float)
    assert np.abs(reduced - wanted).mean() < 3


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_pixels_are_those_of_pillow(reduction):
    data = encode(photo(size=(203, 150)))
    with Image.open(BytesIO(data)) as reference:
        reference.draft("RGB", (203 // reduction, 150 // reduction))
        reduced = open_jpeg(data, never).decode(reduction)
        assert reduced.shape == (-(-150 // reduction), -(-203 // reduction), 3)
        np.testing.assert_array_equal(reduced, np.asarray(reference))


@pytest.mark.parametrize(
    "data",
    [
        encode(photo(), "PNG"),
        encode(photo(mode="CMYK")),
        encode(photo())[:-1],
        encode(photo())[:400],
        encode(photo()) + b"\0",
        b"\xff\xd8\xff" + b"no image" + b"\xff\xd9",
        b"",
    ],
)
def test_other_kinds_are_left_to_pillow(data):
    assert open_jpeg(data, never) is None


def test_pillow_answers_for_a_file_that_opencv_cannot_decode():
    whole = encode(photo())
    start = whole.index(b"\xff\xda")  # of the pixels; the end mark stays
    broken = whole[:start] + whole[-2:]
    picture = photo()
    np.testing.assert_array_equal(open_jpeg(broken, lambda: picture).decode(4), np.asarray(picture))
    with pytest.raises(DecodeError, match=r"cannot|truncated|broken"):
        open_jpeg(broken, lambda: load_rgb(BytesIO(broken))).decode()
