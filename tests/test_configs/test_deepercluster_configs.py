"""The configs of DeeperCluster hold the numbers of the paper (R57 to R59)."""

from pathlib import Path

import pytest
import torch

from mmdeepcluster.engine import load_config, resolve_config
from mmdeepcluster.models.algorithms.memory_estimate import MemoryEstimate
from mmdeepcluster.registry import ALGORITHMS

CONFIGS = Path(__file__).parents[2] / "configs" / "deepercluster"
YFCC = 95_920_149


def build(name, num_samples, **changes):
    model = load_config(CONFIGS / f"{name}.py").model.to_dict()
    with torch.device("meta"):
        return ALGORITHMS.build(model | {"num_samples": num_samples} | changes)


def test_recipe_of_the_paper():
    cfg = load_config(CONFIGS / "deepercluster_vgg16_yfcc100m.py")
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 1e-5)
    assert cfg.train_cfg.max_epochs == 100 and cfg.param_scheduler == []
    assert cfg.default_hooks.clustering.interval == 3
    assert cfg.train_dataloader.batch_size * 64 == 3072 == cfg.auto_scale_lr.base_batch_size
    assert cfg.train_dataloader.sampler.type == "UniformClusterSampler"
    model = cfg.model
    assert (model.num_clusters, model.num_super_clusters, model.num_rotations) == (320_000, 4, 4)
    assert model.grouped and cfg.sync_bn == "torch"
    assert model.feature_transform.dim == 4096 and model.clusterer.max_iters == 10
    assert model.backbone == {"type": "VGG16BN", "in_channels": 3, "sobel": True}
    assert cfg.dataset.type == "ImageList" and cfg.dataset.unreadable == "skip"


def test_sizes_of_the_paper():
    with pytest.raises(ValueError, match="need a multiple of 16 processes, there are 1"):
        build("deepercluster_vgg16_yfcc100m", YFCC)
    algorithm = build("deepercluster_vgg16_yfcc100m", YFCC, grouped=False)
    assert algorithm.feature_dim == 4096
    assert algorithm.head.sub_weight.shape == (16, 80_000, 4096)
    assert algorithm.head.super_fc.weight.shape == (16, 4096)
    assert algorithm.clusterer.num_sub_clusters == 80_000
    # 4 x 16 x 80,000 x 4096 bytes, with gradient and momentum
    estimate = algorithm.memory_estimate(64)
    assert isinstance(estimate, MemoryEstimate)
    assert estimate.head == pytest.approx(3 * 4 * 16 * 80_000 * 4097, rel=1e-3)


def test_resnet_holds_all_classifiers():
    algorithm = build("deepercluster_r50", 1_281_167)
    assert algorithm.head.sub_weight.shape == (16, 2500, 2048)
    assert algorithm.memory_estimate(8).device < 8 * 2**30


def test_photos_with_k_of_the_issue(tmp_path):
    from PIL import Image

    for number in range(50):
        Image.new("RGB", (70, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
    options = {"data_root": str(tmp_path), "model.num_clusters": 40}
    model = resolve_config(CONFIGS / "deepercluster_convnet_photos.py", options).cfg.model
    assert (model.num_clusters, model.num_super_clusters, model.num_rotations) == (40, 2, 4)
    # fewer images than dimensions of the transform would be refused
    assert model.feature_transform.dim == 25
