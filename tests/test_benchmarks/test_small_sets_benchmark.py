"""The benchmark of small sets compares the same training through each loader."""

import json

import small_sets


def test_measures_all(tmp_path, capsys):
    small_sets.main(["--small", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    parts = [name.split(",")[0] for name in found["contenders"]]
    assert parts == ["training", "loader"] * 3 + ["step alone"]
    for row in found["contenders"].values():
        assert row["images_per_second"]["p25"] > 0
        assert row["processor_us_per_image"]["median"] > 0
        assert row["epoch_seconds"] > 0
    for part in ("training", "loader"):
        assert found["ratios"][part]["against"].startswith(f"{part}, per image")
        assert found["ratios"][part]["wall"]["median"] > 0
    assert found["ratios"]["loader"]["processor"]["median"] > 1
    assert "training: device against" in capsys.readouterr().out
