"""What the run report is made of: packed arrays, sprite sheets, diagrams (R54, R55)."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.visualization import make_sprites
from mmdeepcluster.visualization.curve_panels import MAX_POINTS, curve_panels
from mmdeepcluster.visualization.packed import packed


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        ([0, 255], "Uint8", "u1"),
        ([0, 256], "Uint16", "<u2"),
        ([0, 70_000], "Uint32", "<u4"),
        ([-1, 70_000], "Int32", "<i4"),
        ([0.5, np.nan], "Float32", "<f4"),
        ([], "Float32", "<f4"),
    ],
)
def test_packed_holds_every_value(values, kind, dtype):
    held = packed(np.array(values))
    assert held["kind"] == kind
    back = np.frombuffer(base64.b64decode(held["bytes"]), dtype)
    np.testing.assert_array_equal(back, np.array(values, back.dtype))


def test_packed_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"from -1 to 3 do not fit u1 \(0 to 255\)"):
        packed([-1, 3], "u1")
    with pytest.raises(ValueError, match="kind must be one of"):
        packed([1], "i8")


def sheet(uri):
    head, data = uri.split(",", 1)
    assert head in ("data:image/webp;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_sprites_stand_where_the_page_looks_for_them():
    # 300 images of 16 pixels are one full sheet of 256 and one of 44: three rows
    shades = np.linspace(0, 255, 300).astype(np.uint8)
    images = (Image.new("RGB", (40, 60), (int(shade), 90, 30)) for shade in shades)
    sprites = make_sprites(images, 16)
    assert (sprites.cell, sprites.side, sprites.count) == (16, 16, 300)
    first, second = map(sheet, sprites.sheets)
    assert first.shape == (256, 256, 3) and second.shape == (48, 256, 3)
    for place in (0, 17, 255, 256, 299):
        page, at = divmod(place, 256)
        row, column = divmod(at, 16)
        pixel = (first, second)[page][row * 16 + 8, column * 16 + 8]
        assert abs(pixel - [shades[place], 90, 30]).max() < 12  # lossy


def test_sprites_cut_the_centre_and_keep_small_images_sharp():
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (100, 0, 200, 100))
    assert sheet(make_sprites([wide], 20).sheets[0])[2:18, 2:18].min() > 240
    small = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))  # grey, 2 x 2
    shown = sheet(make_sprites([small], 32).sheets[0])[:32, :32, 0]
    assert shown[4:12, 4:12].max() < 30 and shown[4:12, 20:28].min() > 225
    with pytest.raises(ValueError, match="at least 4 pixels"):
        make_sprites([small], 3)


def test_panels_of_what_was_logged():
    # R54: loss and change ratio; what has no place of its own is not lost
    scalars = {
        "loss": ([10, 20], [3.0, float("nan")]),
        "change_ratio": ([10, 20], [0.5, 0.25]),
        "epoch/min_size": ([0, 1], [5.0, 6.0]),
        "epoch/max_size": ([0, 1], [50.0, 60.0]),
        "cycle/seconds_k-means": ([1], [2.0]),
        "speed/share_step": ([1], [0.9]),
        "speed/images_per_second": ([1], [900.0]),
        "cycle/images_per_second": ([1], [2000.0]),
        "my/own_scalar": ([1], [1.0]),
        "epoch": ([10], [1.0]),
    }
    panels = {panel["title"]: panel for panel in curve_panels(scalars, 10, 1000)}
    assert panels["Loss"]["series"][0]["values"] == [3.0, None]
    assert panels["Loss"]["x"] == "iteration" and panels["Change ratio"]["main"]
    sizes = panels["Smallest and largest cluster"]
    assert [one["name"] for one in sizes["series"]] == ["min size", "max size"]
    assert sizes["x"] == "epoch"
    assert sizes["marks"] == [{"value": 100.0, "name": "equal sizes: 100"}]
    assert panels["Seconds by phase"]["series"][0]["name"] == "k-means"
    assert panels["Where the time of training goes"]["series"][0]["name"] == "step"
    rates = {one["name"]: one["values"] for one in panels["Images per second"]["series"]}
    assert rates == {"training": [900.0], "features": [2000.0]}
    assert not panels["my/own_scalar"]["main"]
    assert "epoch" not in panels


def test_long_curves_become_means():
    steps = list(range(4 * MAX_POINTS))
    (panel,) = curve_panels({"loss": (steps, [float(step) for step in steps])}, None, None)
    one = panel["series"][0]
    assert one["mean_of"] == 4 and len(one["steps"]) == MAX_POINTS
    assert one["steps"][0] == 3 and one["values"][0] == 1.5
