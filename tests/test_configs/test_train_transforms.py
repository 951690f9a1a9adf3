"""Every shipped training pipeline can be executed by OpenCV, and those that are say so (R48)."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdeepcluster.datasets.transforms.opencv import OpenCVPipeline

CONFIGS = Path(__file__).parents[2] / "configs"
DATASETS = sorted((CONFIGS / "_base_" / "datasets").glob("*.py"))


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_opencv_executes_the_pipeline(path):
    assert "PILToTensor" in repr(OpenCVPipeline(Config.fromfile(path).train_pipeline))


@pytest.mark.parametrize(
    ("name", "transforms"),
    [
        ("odc/odc_r50.py", "opencv"),
        ("deepcluster/deepcluster_alexnet.py", "opencv"),
        ("deepercluster/deepercluster_vgg16_yfcc100m.py", "opencv"),
        ("odc/finetune/odc_convnet_photos_30e.py", "torchvision"),
    ],
)
def test_who_executes_it(name, transforms):
    loader = Config.fromfile(CONFIGS / name).train_dataloader
    assert loader.get("transforms", "torchvision") == transforms
