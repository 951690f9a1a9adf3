"""Shipped configs by name, from a checkout and from a wheel."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmengine
import pytest
import torch
import torchvision
from conftest_publish import checkpoint, small_config

from mmdeepcluster.apis import get_model, list_models, model_config, model_entries, publish
from mmdeepcluster.engine import ConfigError

ROOT = Path(__file__).parents[2]
# Shipped trainings; benchmarks are protocols, not models.
TRAININGS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "configs").rglob("*.py")
    if not {"_base_", "benchmarks"} & set(path.parts)
)


def test_every_shipped_config_has_an_entry_and_no_other():
    listed = [entry.config.relative_to(ROOT) for entry in model_entries().values()]
    assert sorted(listed) == TRAININGS
    for name, entry in model_entries().items():
        assert entry.config.stem == name
        assert {"Training Data", "Architecture"} == set(entry.metadata)


def test_metafiles_promise_nothing():
    # no weights are shipped, and figures stand with the runs that gave them
    for metafile in mmengine.load(ROOT / "model-index.yml")["Import"]:
        content = mmengine.load(ROOT / metafile)
        names = {collection["Name"] for collection in content["Collections"]}
        for model in content["Models"]:
            assert model["In Collection"] in names
            assert not {"Weights", "Results"} & model.keys()
            assert model["Config"].startswith(str(Path(metafile).parent))


def test_list_models():
    assert list_models() == sorted(path.stem for path in TRAININGS)
    assert {"odc_r50", "odc_r50_120e"} <= set(list_models("odc_r50*"))
    assert list_models("*nothing*") == []
    assert model_config("odc_r50") == ROOT / "configs" / "odc" / "odc_r50.py"
    with pytest.raises(ConfigError, match=r"no model 'odc_r5O', did you mean .*odc_r50"):
        get_model("odc_r5O")


def test_get_model(tmp_path):
    network = get_model("odc_lenet5_digits")
    assert not network.training and network.assigner is None
    images = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert network(images).shape == (3, 256)
        torch.testing.assert_close(network(images / 255), network(images))
    cfg = small_config("odc/odc_lenet5_digits.py")
    algorithm = checkpoint(cfg, tmp_path / "epoch_3.pth")
    published = publish(cfg, tmp_path / "epoch_3.pth", tmp_path / "p.pth").weights
    with torch.no_grad():
        inputs = algorithm.data_preprocessor({"inputs": images})["inputs"]
        expected = algorithm.extract(inputs, ("neck",))["neck"]
        for path in (tmp_path / "epoch_3.pth", published):
            network = get_model("odc_lenet5_digits", path)
            assert torch.equal(network(images), expected)
            assert network.assigner.num_clusters == 4
    theirs = torchvision.models.resnet50()
    torch.save(theirs.state_dict(), tmp_path / "tv.pth")
    network = get_model("odc_r50", tmp_path / "tv.pth", device="cpu")
    assert torch.equal(network.backbone.conv1.weight, theirs.conv1.weight)
    with pytest.raises(ConfigError, match="no weight of the backbone LeNet5"):
        get_model("odc_lenet5_digits", tmp_path / "tv.pth")


@pytest.mark.slow
def test_a_wheel_brings_configs_and_tools(tmp_path):
    pytest.importorskip("setuptools")
    source = tmp_path / "source"  # a build leaves folders behind
    others = shutil.ignore_patterns(".*", "build", "*.egg-info", "work_dirs", "data", "tests")
    shutil.copytree(ROOT, source, ignore=others)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", tmp_path, source], check=True, cwd=tmp_path)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    program = (
        "import json, mmdeepcluster; from mmdeepcluster.apis import *\n"
        "print(json.dumps([mmdeepcluster.__file__, list_models(), str(model_config('odc_r50'))]))\n"
        "get_model('odc_lenet5_digits')"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )
    package, names, config = json.loads(found.stdout.splitlines()[0])  # then what get_model says
    site = tmp_path / "site" / "mmdeepcluster"
    assert Path(package).parent == site and names == list_models()
    assert Path(config) == site / ".mim" / "configs" / "odc" / "odc_r50.py"
    assert (site / ".mim" / "tools" / "train.py").is_file()
    assets = ROOT / "mmdeepcluster" / "visualization" / "assets"
    found = {path.name for path in (site / "visualization" / "assets").iterdir()}
    assert found == {path.name for path in assets.iterdir()}
