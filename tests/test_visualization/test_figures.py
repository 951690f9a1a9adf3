import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.visualization import histograms, points, scatter


def drawn(path):
    """Whether a PNG shows more than its background."""
    return len(Image.open(path).convert("L").getcolors()) > 10


@pytest.mark.parametrize(
    "series",
    [
        {"one": [(1, 0.1), (10, 0.4)]},
        {"one": [(1, 0.1), (1000, 0.4)], "two": [(10, 0.3)]},
        {"texts": [("None", 0.1), ("32", 0.4)]},
        {"switch": [(True, 0.1), (False, 0.4)]},
    ],
)
def test_points_of_numbers_and_of_names(tmp_path, series):
    assert points(tmp_path / "a.png", series, "x", "y", "title")
    assert drawn(tmp_path / "a.png")


def test_histograms(tmp_path):
    samples = {"5 clusters": [0.1, 0.2, 0.2, 0.4], "one value": [0.3]}
    assert histograms(tmp_path / "a.png", samples, "nmi", "title")
    assert drawn(tmp_path / "a.png")


def colours(path):
    """Colours of a PNG that are no grey, by how often they occur, without blends at edges."""
    found = Image.open(path).convert("RGB").getcolors(1 << 24)
    return {rgb for count, rgb in found if count >= 25 and max(rgb) - min(rgb) > 40}


@pytest.mark.parametrize(
    ("groups", "names", "number"),
    [
        ([-1] * 6, None, 0),
        ([0, 0, 1, 1, 1, -1], ["cat", "dog"], 2),
        ([3, 4, 7, 7, 3, 3], None, 3),
        (list(range(12)), None, 12),
        (list(range(21)), None, 21),
    ],
)
def test_scatter_has_a_colour_for_each_group(tmp_path, groups, names, number):
    angles = np.linspace(0, 6, len(groups))
    positions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert scatter(tmp_path / "a.png", positions, np.array(groups), "title", names)
    assert drawn(tmp_path / "a.png")
    found = len(colours(tmp_path / "a.png"))
    # tab10 and tab20 hold a grey; neighbours on the scale of many groups may look alike
    assert number - 2 <= found <= number and (number > 5 or found == number)
