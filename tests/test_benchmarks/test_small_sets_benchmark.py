"""The benchmark of small sets compares the same training through each loader."""

import json

import small_sets

CONFIG = str(small_sets.ROOT / "configs" / "odc" / "odc_lenet5_digits.py")


def test_measures_all(tmp_path, capsys):
    options = ["--rounds", "2", "--iterations", "2", "--warmup", "1", "--num-workers", "1"]
    small_sets.main(["--config", CONFIG, *options, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    parts = [name.split(",")[0] for name in found["contenders"]]
    assert parts == ["training", "loader"] * 3 + ["step alone"]
    for row in found["contenders"].values():
        assert min(row["images_per_second"].values()) > 0
        assert row["processor_us_per_image"]["median"] > 0
        expected = 1437 / row["images_per_second"]["median"]
        assert abs(row["epoch_seconds"] / expected - 1) < 0.5
    for part in ("training", "loader"):
        assert found["ratios"][part]["against"].startswith(f"{part}, per image")
        assert found["ratios"][part]["wall"]["median"] > 0
    assert found["ratios"]["loader"]["processor"]["median"] > 1
    assert "training: device against" in capsys.readouterr().out
