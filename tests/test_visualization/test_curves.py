import numpy as np
from PIL import Image, ImageFont

from mmdeepcluster.visualization import (
    Cell,
    Curve,
    contact_sheet,
    draw_curves,
    moving_mean,
    style_names,
)
from mmdeepcluster.visualization.contact_sheet import _fitted


def test_moving_mean_by_hand():
    assert moving_mean([1, 2, 6, 3], 3).tolist() == [1.5, 3.0, 11 / 3, 4.5]
    assert moving_mean([1, 2, 6, 3], 2).tolist() == [1.0, 1.5, 4.0, 4.5]
    assert moving_mean([1, 2, 6], 1).tolist() == [1, 2, 6]
    assert moving_mean([1, 2, 6], 99).tolist() == [3, 3, 3]


def test_panels_of_curves(tmp_path):
    """Colours of two runs, and a pale one more where values are smoothed."""
    curves = [Curve([1, 2, 3], [0.1, 0.4, 0.2], "a"), Curve([1], [0.3], "b", run=1)]
    path = tmp_path / "a.png"
    assert draw_curves(path, {"loss": curves, "x": curves[:1]}, "epoch", "title", smooth=2)
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    blue, orange = (31, 119, 180), (255, 127, 14)
    assert (pixels == blue).all(axis=1).sum() > 100 and (pixels == orange).all(axis=1).sum() > 10
    assert draw_curves(tmp_path / "b.svg", {"x": curves[:1]}, "iteration", joined="steps")
    assert "<svg" in (tmp_path / "b.svg").read_text()
    assert "ggplot" in style_names() and "default" in style_names()


def test_a_sheet_enlarges_by_whole_numbers_and_reduces_to_fit():
    small = np.full((4, 4), 255, np.uint8)
    small[0, 0] = 0
    large = np.zeros((100, 400, 3), np.uint8)
    large[..., 0] = 200
    cells = [Cell(small, ("a name that is much too long for the place below it.png",))]
    sheet = contact_sheet([[*cells, Cell(large, ("b",))], cells], "title", side=50)
    assert sheet.size == (8 + 2 * 58, 8 + 23 + 2 * (50 + 15 + 8))
    pixels = np.asarray(sheet)
    # 4 pixels become 48: each one is 12 x 12, and the first one is black
    top = 31
    assert (pixels[top + 1 : top + 13, 9:21] == 0).all()
    assert (pixels[top + 1 : top + 49, 21:57] == 255).all()
    # 400 x 100 become 50 x 12, in the middle
    red = (pixels == (200, 0, 0)).all(axis=-1)
    assert red.sum() == 50 * 12 and red[:, 66:116].sum() == 50 * 12


def test_captions_keep_the_end_of_a_path():
    font = ImageFont.load_default(size=11)
    assert _fitted("short.png", 100, font) == "short.png"
    fitted = _fitted("folder/" * 9 + "end.jpg", 60, font)
    assert fitted.startswith("…") and fitted.endswith("r/end.jpg")
    assert font.getlength(fitted) <= 60 < font.getlength(f"e{fitted}")
