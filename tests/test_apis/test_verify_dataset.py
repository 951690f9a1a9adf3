"""Every image of a data set looked at: one of each kind of trouble is found and named."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.apis import verify_dataset
from mmdeepcluster.datasets.image_facts import is_grey
from mmdeepcluster.engine import ConfigError

DIGITS = "configs/odc/odc_lenet5_digits.py"
PHOTOS = "configs/deepercluster/deepercluster_convnet_photos.py"


@pytest.fixture
def folder(tmp_path):
    """Ten photographs, and troubles: two unreadable files, a copy, and others."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    (root / "more").mkdir(parents=True)

    def save(name, size):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)

    for number in range(10):
        save(f"{number}.png", (90, 80))
    save("thin.png", (401, 100))
    save("wide.png", (400, 100))
    save("small.png", (40, 31))
    save("fits.png", (40, 32))
    Image.effect_noise((80, 80), 60).save(root / "grey.jpg")
    shutil.copy(root / "3.png", root / "more" / "copy.png")
    whole = (root / "grey.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "text.png").write_text("<html>not found</html>")
    return root


def test_each_trouble_is_found(folder, tmp_path):
    out = tmp_path / "found" / "a.csv"
    found = verify_dataset(PHOTOS, options={"data_root": str(folder)}, out=out)
    assert found.num_images == 18 and found.shape == (3, 64, 64) and not found.usable
    by_name = {finding.name: (finding.kind, finding.detail) for finding in found.findings}
    assert set(by_name) == {
        "cut.jpg", "grey.jpg", "more/copy.png", "small.png", "text.png", "thin.png",
    }  # fmt: skip
    assert by_name["cut.jpg"][0] == by_name["text.png"][0] == "unreadable"
    assert by_name["cut.jpg"][1].startswith("OSError: ") and "truncated" in by_name["cut.jpg"][1]
    assert by_name["text.png"][1].startswith("UnidentifiedImageError: ")
    assert by_name["more/copy.png"] == ("duplicate", "of 3.png")
    assert by_name["thin.png"] == ("elongated", "401x100")
    assert by_name["small.png"] == ("tiny", "40x31")  # half of 64 is 32
    assert by_name["grey.jpg"] == ("grey", "")
    assert found.counts == {
        "unreadable": 2, "pipeline": 0, "shape": 0, "duplicate": 1, "tiny": 1, "elongated": 1,
        "grey": 1,
    }  # fmt: skip
    rows = out.read_text().splitlines()
    assert rows[0] == "index,name,kind,detail" and len(rows) == 7
    assert "13,more/copy.png,duplicate,of 3.png" in rows
    assert "unreadable          2  cannot be decoded: cut.jpg, text.png" in str(found)
    assert verify_dataset(PHOTOS, options={"data_root": str(folder)}, num_threads=1) == found


def test_limits_and_a_pipeline_that_keeps_shapes(folder):
    for name in ("cut.jpg", "text.png"):
        (folder / name).unlink()
    options = {"data_root": str(folder)}
    found = verify_dataset(PHOTOS, options=options, max_ratio=3.9, min_side=81)
    assert found.usable and found.counts["elongated"] == 2
    assert found.counts["tiny"] == 10 + 1 + 3  # photographs, the copy, and three smaller ones
    plain = [dict(type="RGB"), dict(type="Resize", size=20), dict(type="PILToTensor")]
    found = verify_dataset(PHOTOS, options=options | {"eval_pipeline": plain})
    shapes = {f.name: f.detail for f in found.findings if f.kind == "shape"}
    assert not found.usable and found.shape == (3, 20, 22)
    assert shapes["thin.png"] == "3x20x80 instead of 3x20x22" and "3.png" not in shapes
    crop = [dict(type="RandomCrop", size=90), dict(type="PILToTensor")]
    found = verify_dataset(PHOTOS, options=options | {"eval_pipeline": crop})
    assert found.counts["pipeline"] == 14 and not found.usable


def test_images_of_an_array_and_another_split():
    found = verify_dataset(DIGITS, split="test")
    assert found.num_images == found.num_grey == 360 and found.usable
    assert found.counts["grey"] == 0 and "all images are grey" in str(found)
    # 8x8 digits, shown at 32x32
    assert found.counts["tiny"] == 360 and found.shape == (1, 32, 32)
    with pytest.raises(ConfigError, match="no split 'dev'"):
        verify_dataset(DIGITS, split="dev")
    with pytest.raises(ConfigError, match="--max-ratio must be above 1, got 1"):
        verify_dataset(DIGITS, max_ratio=1)


def test_grey_is_told_from_colour(tmp_path):
    grey = Image.effect_noise((100, 100), 80)
    grey.convert("RGB").save(tmp_path / "grey.jpg", quality=80)
    assert is_grey(Image.open(tmp_path / "grey.jpg")) and is_grey(grey)
    assert not is_grey(Image.new("RGB", (5, 5), (100, 100, 105)))
