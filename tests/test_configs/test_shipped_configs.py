"""Every shipped config is sound: its keys are read, its model is built, its header says what."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from mmdeepcluster.datasets.transforms import build_pipeline
from mmdeepcluster.engine import load_config, resolve_config
from mmdeepcluster.engine.config_schema import check_config
from mmdeepcluster.registry import ALGORITHMS

CONFIGS = Path(__file__).parents[2] / "configs"
# Those of benchmarks are no trainings; tests/test_configs/test_benchmark_configs.py looks at them.
SHIPPED = sorted(
    path for path in CONFIGS.rglob("*.py") if not {"_base_", "benchmarks"} & set(path.parts)
)


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A flat folder of 200 tiny JPEG files."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(200):
        pixels = rng.integers(0, 256, (8, 8 + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"img_{number:03d}.jpg")
    return folder


def test_there_are_configs():
    assert {
        "deepcluster_alexnet",
        "deepcluster_lenet5_digits",
        "deepcluster_r50",
        "deepcluster_r50_sobel",
        "deepcluster_vgg16",
        "deepercluster_convnet_photos",
        "deepercluster_r50",
        "deepercluster_vgg16_yfcc100m",
        "odc_alexnet",
        "odc_lenet5_digits",
        "odc_lenet5_fmnist",
        "odc_r18_cifar10",
        "odc_r50",
        "odc_r50_released",
    } <= {path.stem for path in SHIPPED}


def test_keys_are_read(path):
    check_config(load_config(path))


PAPERS = {
    "odc": "2006.10645",
    "deepcluster": "1807.05520",
    "deepercluster": "1905.01278",
    "deep_dive": "2207.11839",
}


def test_header_names_paper_command_and_expected_result(path):
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    name = path.relative_to(CONFIGS.parent)
    assert f"arXiv {PAPERS[name.parts[1]]}" in header
    assert f"python tools/train.py {name}" in header or f"tools/dist_train.sh {name}" in header
    assert "Expected" in header


def test_data_root_is_none_and_scope_is_ours(path):
    cfg = load_config(path)
    assert cfg.data_root is None and cfg.default_scope == "mmdeepcluster"


def test_a_small_folder_replaces_the_images(path, photos):
    # R74: sizes that 200 images are too few for become automatic
    resolved = resolve_config(path, {"data_root": str(photos)})
    assert len(resolved.dataset) == resolved.cfg.model.num_samples == 200
    model = resolved.cfg.model
    written = load_config(path).model
    fits = written.num_clusters != "auto" and written.num_clusters <= 200 // 39
    assert model.num_clusters == (written.num_clusters if fits else 16)
    assert model.get("memory", {}).get("min_cluster_size", 2) == 2
    if model.get("feature_transform") is not None:
        dim = written.feature_transform.dim
        assert model.feature_transform.dim == (dim if dim < 200 else 100)
    assert resolved.dataset.eval_labels is None


def test_model_is_built(path):
    cfg = load_config(path)
    number = 16 if cfg.model.num_clusters == "auto" else cfg.model.num_clusters
    model = cfg.model.to_dict() | {"num_samples": 40 * number, "num_clusters": number}
    model = ALGORITHMS.get(model["type"]).config_to_use(model)
    model["data_preprocessor"] = cfg.data_preprocessor.to_dict()
    model.get("memory", {}).pop("min_cluster_size", None)
    with torch.device("meta"):  # no memory, no arithmetic
        algorithm = ALGORITHMS.build(model)
    assert algorithm.num_clusters == number


def test_evaluation_pipeline_is_not_random(path):
    # R3: the images that are clustered always look the same
    pipeline = build_pipeline(load_config(path).eval_pipeline)
    random = [t for t in pipeline.transforms if isinstance(t, v2.RandomApply | v2.ColorJitter)]
    random += [t for t in pipeline.transforms if type(t).__name__.startswith("Random")]
    assert not random
    training = build_pipeline(load_config(path).train_pipeline)
    assert [t for t in training.transforms if type(t).__name__.startswith("Random")]
