"""The analysis tools as a user types them (ecosystem B1)."""

import json
import runpy
import sys

import numpy as np
import pytest
from PIL import Image
from tool_runs import ROOT, run_here

DIGITS = "configs/odc/odc_lenet5_digits.py"
PHOTOS = "configs/deepercluster/deepercluster_convnet_photos.py"


def said(capsys, script, *arguments):
    """What a tool that succeeds prints."""
    assert run_here(script, *arguments) is None
    return capsys.readouterr().out


@pytest.fixture
def runs(tmp_path):
    """Two runs, of which one logs no change ratio."""
    for name, keys in (("odc", ("loss", "change_ratio")), ("deepcluster", ("loss",))):
        place = tmp_path / name / "20260101_000000" / "vis_data"
        place.mkdir(parents=True)
        rows = [
            {key: 2.0 / step for key in keys}
            | {"time": 0.1, "data_time": 0.01, "epoch": step, "iter": step, "step": step}
            for step in range(1, 9)
        ]
        (place / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "odc", tmp_path / "deepcluster"


def test_analyze_logs(runs, capsys):
    """R54: loss and change ratio of two runs side by side are one command."""
    tool, out = "analysis_tools/analyze_logs.py", runs[0] / "a.png"
    options = ["--keys", "loss", "train/change_ratio", "--legend", "ODC", "DeepCluster"]
    shown = ["--smooth", "3", "--style", "ggplot", "--window-size", "9*4", "--axis", "epoch"]
    text = said(capsys, tool, "plot_curve", *runs, *options, *shown, "--out", out)
    assert text.splitlines() == [
        f"train/change_ratio: not in {runs[1]}, drawn for the others",
        f"written: {out}",
    ]
    assert Image.open(out).size == (9 * 120, 4 * 120)
    text = said(capsys, tool, "cal_train_time", *runs, "--include-outliers")
    assert text.count("average iter time: 0.1000 s/iter, waiting for data 0.0100") == 2
    last = run_here(tool, "plot_curve", *runs, "--keys", "los", "--out", out)
    assert last.startswith("error: --keys los: not in ") and "known: change_ratio" in last
    assert "give the work dir" in run_here(tool, "plot_curve", runs[0] / "none")


def test_schedule_and_costs_of_a_config_without_its_images(tmp_path, capsys):
    config, out = "configs/odc/odc_r50.py", tmp_path / "a.png"
    text = said(
        capsys, "visualization/vis_scheduler.py", config, "--param", "lr", "momentum",
        "--dataset-size", 1_281_167, "--ngpus", 8, "--out", out,
    )  # fmt: skip
    assert "440 epochs of 2503 iterations, 1,101,320 in all" in text
    assert "lr of backbone + neck, head: 0.06 at first, 0.006 at last, 0.006 to 0.06" in text
    assert "momentum of head: 0 throughout" in text
    assert Image.open(out).width > 1000 and out.with_suffix(".csv").is_file()
    last = run_here("visualization/vis_scheduler.py", config, "--cfg-options", "dataset.root=none")
    assert last.startswith("error: no image folder 'none'")
    arguments = ["--shape", 224, 224, "--depth", 1, "--dataset-size", 1_281_167]
    text = said(capsys, "analysis_tools/get_flops.py", config, *arguments)
    assert "backbone.layer1" in text and "backbone.layer1.0" not in text
    assert "once, before the first epoch): 4.088 G an image, 5.238 P a pass" in text


def test_pictures_of_a_pipeline(tmp_path, capsys):
    tool = "visualization/browse_dataset.py"
    arguments = ["--out", tmp_path, "--number", 3, "--mode", "pipeline", "--phase", "train"]
    text = said(capsys, tool, DIGITS, *arguments, "--epoch", 2)
    assert f"written: {tmp_path / 'train_pipeline.png'}" in text
    # the file and four steps
    assert Image.open(tmp_path / "train_pipeline.png").width == 8 + 5 * 152
    last = run_here(tool, DIGITS, *arguments, "--cfg-options", "train_dataloader.transforms=dali")
    assert last.startswith("error: train_dataloader.transforms must be one of")


def test_verify_dataset_ends_with_the_status_of_the_data(tmp_path, capsys, monkeypatch):
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        pixels = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    tool, options = "misc/verify_dataset.py", ["--cfg-options", f"data_root={root}"]
    out = ["--out", tmp_path / "a.csv", "--num-process", 2]
    assert "9 images, 3x64x64 behind eval_pipeline" in said(capsys, tool, PHOTOS, *out, *options)
    assert (tmp_path / "a.csv").read_text() == "index,name,kind,detail\n"
    (root / "5.png").write_bytes((root / "5.png").read_bytes()[:999])
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.setattr(sys, "argv", [tool, *map(str, (PHOTOS, *out, *options))])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(f"tools/{tool}", run_name="__main__")
    assert ended.value.code == 1
    assert "cannot be decoded: 5.png" in capsys.readouterr().out
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("5,5.png,unreadable,OSErr")
