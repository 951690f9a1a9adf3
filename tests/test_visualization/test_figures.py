import pytest
from PIL import Image

from mmdeepcluster.visualization import histograms, points


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
