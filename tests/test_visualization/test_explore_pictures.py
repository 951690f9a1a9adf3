"""Pictures and charts that stand in a page."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.visualization.explore_charts import bar_chart, line_chart
from mmdeepcluster.visualization.explore_pictures import (
    data_uri,
    diverging,
    grey,
    sequential,
    sprite,
    strip,
    thinned,
)


def opened(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_png_is_exact_and_jpeg_is_small():
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert (opened(data_uri(pixels)) == pixels).all()
    assert len(data_uri(pixels, "jpeg")) < len(data_uri(pixels))


def test_colours_of_numbers():
    found = diverging(np.array([[-2.0, 0.0, 2.0]]), limit=2.0)[0]
    assert found[1].tolist() == [247, 247, 247]
    assert found[0, 2] > found[0, 0] and found[2, 0] > found[2, 2]  # blue, red
    light = sequential(np.array([[0.0, 1.0, 2.0]])).sum(axis=2)[0]
    assert light[0] < light[1] < light[2]
    assert grey(np.array([[3.0, 5.0, 4.0]])).tolist() == [[0, 255, 128]]
    assert (grey(np.ones((2, 2))) == 0).all()


def test_strips_and_thinned_matrices():
    assert strip(np.arange(10.0)).shape == (1, 10)
    rows = strip(np.arange(600.0))
    assert rows.shape == (3, 200) and rows[1, 0] == 200
    matrix = np.arange(1000 * 3).reshape(1000, 3)
    assert thinned(matrix).shape == (256, 3)
    assert thinned(matrix)[0, 0] == 0 and thinned(matrix)[-1, -1] == matrix[-1, -1]


def test_a_sprite_holds_each_picture_where_the_page_looks():
    small = np.stack([np.full((2, 3, 3), n, np.uint8) for n in range(7)])
    sheet = sprite(small, columns=4)
    assert sheet.shape == (4, 12, 3)
    assert (sheet[2:4, 6:9] == 6).all() and (sheet[2:4, 9:] == 0).all()


def shapes(svg, tag):
    found = ET.fromstring(re.match(r"<svg.*?</svg>", svg, re.S).group())
    return list(found.iter(tag))


def test_bars_are_as_high_as_their_numbers():
    svg = bar_chart({"a <b>": [1.0, 2.0, 0.0]}, "cluster", "images", marked=1)
    bars = shapes(svg, "rect")
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.05) and heights[2] == 0
    assert [bar.get("class") for bar in bars] == ["fill-0", "marked", "fill-0"]
    assert "cluster 1: 2 a <b>" in [title.text for title in shapes(svg, "title")]


def test_lines_fall_where_numbers_fall_and_logarithms_leave_out_zero():
    def heights(svg):
        (line,) = shapes(svg, "polyline")
        return [float(point.split(",")[1]) for point in line.get("points").split()]

    found = heights(line_chart({"loss": [3.0, 2.0, 1.0]}, "step", "loss"))
    assert found[0] < found[1] < found[2]  # y grows downwards
    assert found[1] - found[0] == pytest.approx(found[2] - found[1], abs=0.11)
    found = heights(line_chart({"v": [100.0, 10.0, 1.0, 0.0]}, "n", "v", log=True))
    assert len(found) == 3 and found[1] - found[0] == pytest.approx(found[2] - found[1], abs=0.11)


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-9, 1e-9], [-1.0, 1.0]])
def test_charts_of_odd_numbers(values):
    for svg in (line_chart({"a": values}, "x", "y"), bar_chart({"a": values}, "x", "y")):
        assert "nan" not in svg and "inf" not in svg
        shapes(svg, "text")
