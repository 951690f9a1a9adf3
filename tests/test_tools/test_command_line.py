"""The tools as a user runs them: results, and one clear last line for what cannot be run."""

import json

import numpy as np
import pytest
from PIL import Image
from tool_runs import ROOT, run_apart, run_here

DIGITS = "configs/odc/odc_lenet5_digits.py"
FAST = [
    "train_cfg.max_epochs=1",
    "train_dataloader.num_workers=0",
    "default_hooks.clustering.calibration_passes=0",
    "default_hooks.clustering.label_warmup=0",
]


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(12):
        Image.effect_noise((40, 40), 50 + number).save(images / f"{number}.jpg")
    return images


def refused(*command):
    """The last line of a command that must fail without a traceback, before long."""
    result = run_apart(*command)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.seconds < 20  # 3 s on a machine that does nothing else
    return result.stderr.strip().splitlines()[-1]


def refused_here(script, *arguments):
    """As :func:`refused`, in this process."""
    last = run_here(script.removeprefix("tools/"), *arguments)
    assert last is not None, "it was not refused"
    return last


def test_train_then_test_then_print(tmp_path):
    work_dir = tmp_path / "run"
    result = run_apart("tools/train.py", DIGITS, "--work-dir", work_dir, "--cfg-options", *FAST)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "k-NN accuracy" in result.stdout and str(work_dir / "assigner.pth") in result.stdout
    out = tmp_path / "metrics.json"
    result = run_apart("tools/test.py", DIGITS, work_dir / "epoch_1.pth", "--out", out)
    assert result.returncode == 0, result.stderr[-2000:]
    report = json.loads((work_dir / "report.json").read_text())
    assert json.loads(out.read_text())["knn"] == report["knn"]
    # the dumped config is the resolved one and can be used again
    dumped = next(work_dir.glob("odc_*.py"))
    result = run_apart("tools/test.py", dumped, work_dir / "epoch_1.pth")
    assert result.returncode == 0, result.stderr[-2000:]


def test_print_config():
    result = run_apart("tools/print_config.py", DIGITS, "--resolve")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "num_samples=1437" in result.stdout and "num_clusters=20" in result.stdout
    last = refused_here("tools/print_config.py", DIGITS, "--cfg-options", "train_cgf.max_epochs=5")
    assert last == (
        "error: --cfg-options train_cgf.max_epochs: no such key, did you mean 'train_cfg'?"
    )


def test_default_work_dir(tmp_path):
    # CLI > config > work_dirs/<config stem>
    result = run_apart("tools/train.py", "--help")
    assert "work_dirs/<config stem>" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["model.num_clusters=5000"], "model.num_clusters=5000 exceeds the 1437 images"),
        (["model.memory.min_cluster_size=80"], "= 1600 exceeds the 1437 images"),
        (["model.memory.momentmu=0.3"], "did you mean 'momentum'?"),
        (["model.num_cluster=3"], "did you mean 'num_clusters'?"),
        (["modle.num_clusters=3"], "did you mean 'model'?"),
        (["data_root=/no/such/folder"], "/no/such/folder"),
    ],
)
def test_bad_options(options, words, tmp_path):
    last = refused_here("tools/train.py", DIGITS, "--work-dir", tmp_path, "--cfg-options", *options)
    assert last.startswith("error: ") and words in last
    assert list(tmp_path.iterdir()) == []  # refused before anything is written


def test_bad_folders(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no image" in refused("tools/train.py", DIGITS, "--cfg-options", f"data_root={empty}")
    broken = folder / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:-100])
    last = refused_here("tools/train.py", DIGITS, "--cfg-options", f"data_root={folder}")
    assert "3.jpg" in last and "unreadable='skip'" in last
    result = run_apart(
        *("tools/train.py", DIGITS, "--work-dir", tmp_path / "run", "--cfg-options", *FAST),
        *(f"data_root={folder}", "dataset.unreadable=skip"),
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "run" / "unreadable.txt").read_text().startswith("3.jpg\tOSError: ")


@pytest.fixture
def listed(tmp_path):
    """A list of 100 good JPEG files and 7 that are missing, cut, or no image; and the bad names."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(100):
        pixels = rng.integers(0, 80, (32, 32, 3)) + 60 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"good {number}.jpg")
        names.append(f"good {number}.jpg")
    cut = (tmp_path / "good 0.jpg").read_bytes()[:-200]
    bad = {
        **{f"gone{i}.jpg": None for i in range(2)},
        **{f"cut{i}.jpg": cut for i in range(2)},
        "empty.jpg": b"",
        **{f"text{i}.jpg": b"<html>not found</html>" for i in range(2)},
    }
    for position, (name, content) in enumerate(bad.items()):
        names.insert(13 * position, name)  # the first line is a bad one
        if content is not None:
            (tmp_path / name).write_bytes(content)
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return tmp_path / "list.txt", list(bad)


def config_of(path, base, **dataset):
    """A config of a list file."""
    config = path.parent / "config.py"
    dataset = {"_delete_": True, "type": "ImageList", "list_file": str(path), **dataset}
    config.write_text(
        f"_base_ = {str(ROOT / base)!r}\ndataset = {dataset!r}\n"
        "evaluation = dict(test_split=None)\nmodel = dict(num_clusters=4)\n"
    )
    return config


@pytest.mark.parametrize("base", ["deepcluster/deepcluster_lenet5_digits", "odc/odc_lenet5_digits"])
def test_a_list_with_bad_files_is_trained_counted_and_listed(listed, base):
    # R60: 7 of 107 files are left out
    path, bad = listed
    config = config_of(path, f"configs/{base}.py", unreadable="skip")
    work_dir = path.parent / "run"
    arguments = ["--work-dir", work_dir, "--cfg-options", *FAST[:2]]
    result = run_apart("tools/train.py", config, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    log = max(work_dir.glob("*/*.log")).read_text()
    for said in (result.stdout, log):
        assert "left out  7 unreadable images" in said  # before training
        assert f"left out        7 unreadable images, listed in {work_dir}" in said  # afterwards
    assert "7 of 107 images" in result.stdout + result.stderr
    lines = (work_dir / "unreadable.txt").read_text().splitlines()
    reasons = dict(line.split("\t") for line in lines)
    assert list(reasons) == bad
    kinds = [reason.split(":")[0] for reason in reasons.values()]
    assert kinds == ["FileNotFoundError"] * 2 + ["OSError"] * 2 + ["UnidentifiedImageError"] * 3
    report = json.loads((work_dir / "report.json").read_text())
    assert report["data"] == {"num_images": 100, "num_unreadable": 7}
    rows = (work_dir / "samples.csv").read_text().splitlines()[1:]
    assert len(rows) == 100 and not [row for row in rows if row.split(",")[1] in bad]


def test_a_first_image_that_cannot_be_read_is_one_line(listed):
    # nobody looked before; it is found when the pipeline is tried
    path, _ = listed
    path.write_text(
        "text0.jpg\n" + path.read_text().replace("gone0.jpg\n", "").replace("gone1.jpg\n", "")
    )
    config = config_of(path, DIGITS, unreadable="trust")
    last = refused_here("tools/train.py", config, "--work-dir", path.parent / "run")
    assert last.startswith("error: cannot read 'text0.jpg' (sample 0 of ImageList(106 images))")
    assert "UnidentifiedImageError" in last and "dataset.unreadable='trust'" in last


def test_divergence_is_one_line(tmp_path):
    last = refused(
        *("tools/train.py", DIGITS, "--work-dir", tmp_path, "--cfg-options", *FAST),
        "optim_wrapper.optimizer.lr=1e9",
    )
    assert last.startswith("error: training diverged by iteration ")
