"""The worked example of docs/extending.md trains from outside of the package (R70)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "my_methods"


def train(folder, *arguments, **environment):
    """Runs tools/train.py of the package from another folder, as a user would."""
    env = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        "MMDEEPCLUSTER_ROOT": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, ROOT / "tools/train.py", *map(str, arguments)],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """The example, moved to a folder that has nothing to do with the package; trained there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EXAMPLE, folder / "my_methods", ignore=ignored)
    options = ["train_cfg.max_epochs=4", "train_dataloader.num_workers=0", "model.num_clusters=10"]
    ended = train(folder, "my_methods/config.py", "--work-dir", "run", "--cfg-options", *options)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder, ended.stdout


def test_it_trains_with_the_components_of_the_user(outside):
    folder, said = outside
    assert "model     TypicalDeepCluster, ConvMixer, " in said
    config = (folder / "run" / "config.py").read_text()  # the resolved config, dumped
    assert "MixtureOfGaussians" in config and "num_clusters=10" in config
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["memory"]["num_empty"] == 0
    # Four epochs, far above chance: ten random clusters of 1,437 digits have an NMI of 0.01.
    assert report["memory"]["nmi"] > 0.08, report["memory"]
    state = torch.load(folder / "run" / "epoch_4.pth", weights_only=True)
    weights = state["cluster_state"]["weights"]
    assert weights.shape == (1437,)
    assert float(weights.min()) == pytest.approx(0.3) and float(weights.max()) == 1.0
    assert any(name.startswith("backbone.stages.2.0.layers") for name in state["state_dict"])


@pytest.mark.slow  # starts one more process
def test_it_resumes_with_its_own_state(outside):
    folder, _ = outside
    ended = train(
        *(folder, folder / "run" / "config.py", "--work-dir", "run", "--resume"),
        *("--cfg-options", "train_cfg.max_epochs=5"),
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "resumed" in ended.stdout and (folder / "run" / "epoch_5.pth").exists()


@pytest.mark.slow  # starts one more process
def test_a_misspelled_key_of_the_user_is_named(outside):
    folder, _ = outside
    ended = train(folder, "my_methods/config.py", "--cfg-options", "model.flor=0.1")
    assert ended.returncode == 1 and "did you mean 'floor'?" in ended.stderr


@pytest.mark.slow  # starts one more process
def test_without_the_module_it_is_said_what_is_missing(outside):
    folder, _ = outside
    ended = train(folder, "my_methods/config.py", PYTHONPATH=str(ROOT))
    assert ended.returncode == 1 and "my_methods" in ended.stderr.splitlines()[-1]
