"""Configs of benchmarks: what they measure, on what."""

import ast
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdeepcluster.apis.benchmark import Benchmark, load_benchmark
from mmdeepcluster.apis.protocols import PROTOCOLS
from mmdeepcluster.engine import ConfigError

FOLDER = Path(__file__).parents[2] / "configs" / "benchmarks"
CONFIGS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_keys_are_read_and_the_header_names_the_command(path):
    found = load_benchmark(path)
    assert found.protocols and found.data
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert f"-b configs/benchmarks/{path.name}" in header


def test_places_differs_from_imagenet_in_data_alone_r67():
    imagenet, places = (
        load_benchmark(FOLDER / f"{name}_linear.py").__dict__ for name in ("imagenet", "places205")
    )
    assert {key for key in imagenet if imagenet[key] != places[key]} == {"data", "train", "test"}
    for part in ("train", "test"):
        assert {**imagenet[part], "root": ""} == {**places[part], "root": ""}


def test_published_protocols_r62_to_r65():
    assert "linear-odc" in load_benchmark(FOLDER / "imagenet_linear.py").protocols
    voc = load_benchmark(FOLDER / "voc07_svm.py")
    assert voc.shots == (1, 2, 4, 8, 16, 32, 64, 96) and voc.low_shot_samples == 5
    assert (voc.svm_cost_list, voc.low_shot_cost) == ("openselfsup", "goyal")
    animals = load_benchmark(FOLDER / "voc2012_animals.py")
    assert animals.shots == (1, 2, 4, 8) and animals.voc["min_images"] == 20


def test_every_protocol_stands_in_the_readme():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in PROTOCOLS)


def test_a_benchmark_needs_its_keys():
    with pytest.raises(ConfigError, match="needs data and protocols"):
        load_benchmark(Config({"seed": 1}))
    changed = load_benchmark(FOLDER / "imagenette.py", {"train.root": "x", "seed": 3})
    assert isinstance(changed, Benchmark) and changed.train["root"] == "x" and changed.seed == 3
