"""Every mode becomes 8-bit RGB, and the check finds what cannot be decoded (R60)."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.datasets import find_unreadable, load_rgb
from mmdeepcluster.datasets.pil_loading import IMAGE_EXTENSIONS

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def load(image: Image.Image, path: Path, **options) -> np.ndarray:
    image.save(path, **options)
    loaded = load_rgb(path)
    assert loaded.mode == "RGB"
    return np.asarray(loaded)


def as_grey(rgb: np.ndarray) -> np.ndarray:
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 1])
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
    return rgb[..., 0]


def test_rgb_and_grey_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(load(Image.fromarray(pixels), tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(as_grey(load(Image.fromarray(GREY), tmp_path / "b.png")), GREY)


def test_one_bit(tmp_path):
    bits = Image.fromarray(GREY > 100)
    assert bits.mode == "1"
    expected = np.where(GREY > 100, 255, 0)
    np.testing.assert_array_equal(as_grey(load(bits, tmp_path / "a.png")), expected)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    loaded = as_grey(load(image, tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(loaded, values // 256)


def test_big_endian_16_bit_grey(tmp_path):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = Image.frombytes("I;16B", (16, 16), values.astype(">u2").tobytes())
    image.save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as opened:
        assert opened.mode == "I;16B"
    np.testing.assert_array_equal(as_grey(np.asarray(load_rgb(tmp_path / "a.tif"))), values // 256)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0, 255], [7, 8]], [[0, 255], [7, 8]]),
        ([[0, 65535], [256, 1000]], [[0, 255], [1, 3]]),
        ([[-100, 100], [0, 0]], [[0, 255], [128, 128]]),
        ([[100_000, 300_000], [200_000, 100_000]], [[0, 255], [128, 0]]),
    ],
)
def test_32_bit_integers(tmp_path, values, expected):
    image = Image.fromarray(np.array(values, dtype=np.int32))
    assert image.mode == "I"
    np.testing.assert_array_equal(as_grey(load(image, tmp_path / "a.tif")), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 1.0], [0.2, 0.6]], [[0, 255], [51, 153]]),
        ([[0.0, 255.0], [2.4, 99.6]], [[0, 255], [2, 100]]),
        ([[-3.0, 3.0], [0.0, -3.0]], [[0, 255], [128, 0]]),
        ([[700.0, 700.0], [700.0, 700.0]], [[0, 0], [0, 0]]),
    ],
)
def test_floats(tmp_path, values, expected):
    image = Image.fromarray(np.array(values, dtype=np.float32))
    assert image.mode == "F"
    np.testing.assert_array_equal(as_grey(load(image, tmp_path / "a.tif")), expected)


def test_nan_is_refused_and_counts_as_unreadable(tmp_path):
    Image.fromarray(np.array([[0.0, np.nan]], dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="NaN"):
        load_rgb(tmp_path / "a.tif")
    assert [index for index, _ in find_unreadable([tmp_path / "a.tif"])] == [0]


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = [255, 0, 127]
    loaded = load(Image.fromarray(rgba), tmp_path / "rgba.png")
    np.testing.assert_array_equal(as_grey(loaded), [[0, 255, 128]])
    la = Image.merge("LA", [Image.new("L", (2, 1), 9), Image.fromarray(np.uint8([[255, 0]]))])
    np.testing.assert_array_equal(as_grey(load(la, tmp_path / "la.png")), [[9, 255]])


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.uint8([[0, 1, 2]])).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    plain = load(image, tmp_path / "plain.png")
    np.testing.assert_array_equal(plain, [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    for name in ("a.png", "a.gif"):
        clear = load(image, tmp_path / name, transparency=1)
        np.testing.assert_array_equal(clear, [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]])


def test_transparent_colour_of_rgb_png(tmp_path):
    image = Image.fromarray(np.uint8([[[1, 2, 3], [4, 5, 6]]]))
    loaded = load(image, tmp_path / "a.png", transparency=(1, 2, 3))
    np.testing.assert_array_equal(loaded, [[[255, 255, 255], [4, 5, 6]]])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    loaded = load(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(loaded, np.broadcast_to([254, 0, 0], loaded.shape), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation(tmp_path, orientation, suffix):
    upright = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    turned = {  # how a camera held that way stores the upright picture
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned))
    np.testing.assert_array_equal(load(stored, tmp_path / f"a.{suffix}", exif=exif), upright)


def test_damaged_exif_block_does_not_hide_the_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)
    assert load_rgb(path).size == (16, 16)
    assert find_unreadable([path]) == []


def test_first_frame_of_several(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    loaded = load(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(loaded, np.broadcast_to(np.uint8([255, 0, 0]), (4, 4, 3)))


def test_extensions_are_those_pillow_decodes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".ppm"} <= IMAGE_EXTENSIONS
    assert not {".pdf", ".eps", ".h5", ".mpg", ".grib"} & IMAGE_EXTENSIONS


def test_postscript_is_never_run(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path, format="EPS")
    assert [index for index, _ in find_unreadable([path])] == [0]


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_jpegs_are_found_wherever_they_are_cut(tmp_path, progressive):
    pixels = np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=progressive)
    content, paths = stream.getvalue(), []
    for number, length in enumerate(np.linspace(0, len(content), 40).astype(int)):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(content[:length])

    def fails_at_full_size(path: Path) -> bool:
        try:
            load_rgb(path)
        except Exception:
            return True
        return False

    expected = [index for index, path in enumerate(paths) if fails_at_full_size(path)]
    assert expected == list(range(39))
    assert [index for index, _ in find_unreadable(paths, num_threads=2)] == expected


def test_unreadable_kinds_with_reasons(tmp_path, save_image, cut):
    paths = [
        save_image("good.jpg"),
        cut(save_image("cut.png")),
        tmp_path / "empty.jpg",
        tmp_path / "text.png",
        tmp_path / "missing.png",
        save_image("good.webp"),
    ]
    paths[2].touch()
    paths[3].write_text("not an image")
    found = find_unreadable(paths)
    assert [index for index, _ in found] == [1, 2, 3, 4]
    assert "FileNotFoundError" in dict(found)[4]


@pytest.mark.parametrize("num_threads", [1, 3])
def test_many_files_keep_their_positions(save_image, num_threads):
    good = save_image("good.png")
    paths = [good] * 100
    for index in (0, 31, 32, 99):
        paths[index] = good.with_name("missing.png")
    found = find_unreadable(paths, num_threads)
    assert [index for index, _ in found] == [0, 31, 32, 99]


def test_number_of_threads_is_checked():
    with pytest.raises(ValueError, match=r"dataset\.num_threads must be at least 1, got 0"):
        find_unreadable([], num_threads=0)
