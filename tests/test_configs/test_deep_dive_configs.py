"""The configs of the "Deep Dive" study hold its best values (R17, R19, R22, R34, R40, R41)."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from mmdeepcluster.datasets.transforms import build_pipeline
from mmdeepcluster.engine import load_config
from mmdeepcluster.registry import ALGORITHMS

CONFIGS = Path(__file__).parents[2] / "configs" / "deep_dive"
# lr, weight decay, momentum, Sobel, cycles, K, PCA, batch: R34, and R40 for AlexNet
BEST = {
    "fmnist_lenet5": (0.1, 1e-3, 0.1, False, 50, 5, None, 128),
    "svhn_alexnet_micro": (0.1, 1e-3, 0.5, True, 100, 200, 256, 64),
    "cifar10_alexnet_micro": (0.1, 1e-3, 0.9, True, 100, 1000, 256, 64),
    "cifar10_alexnet": (0.05, 1e-5, 0.9, True, 100, 2000, 256, 256),
}
# image size, width of the features, width of the probed layer
SHAPES = {
    "fmnist_lenet5": ((1, 32, 32), 84, 1600),
    "svhn_alexnet_micro": ((3, 32, 32), 1024, 512),
    "cifar10_alexnet_micro": ((3, 32, 32), 1024, 512),
    "cifar10_alexnet": ((3, 224, 224), 2048, 9216),
}


@pytest.fixture(params=BEST)
def name(request):
    init_default_scope("mmdeepcluster")
    return request.param


def load(name):
    return load_config(CONFIGS / f"{name}.py")


def build(cfg):
    return ALGORITHMS.build(cfg.model.to_dict() | {"num_samples": 50_000})


def test_the_best_values_r34_r40(name):
    cfg = load(name)
    transform = cfg.model.get("feature_transform")
    found = (
        cfg.optim_wrapper.optimizer.lr,
        cfg.optim_wrapper.optimizer.weight_decay,
        cfg.optim_wrapper.optimizer.momentum,
        cfg.model.backbone.get("sobel", False),
        cfg.train_cfg.max_epochs,
        cfg.model.num_clusters,
        None if transform is None else transform.dim,
        cfg.train_dataloader.batch_size,
    )
    assert found == BEST[name]
    assert cfg.train_dataloader.sampler.type == "UniformClusterSampler"
    assert cfg.param_scheduler == []  # a constant rate
    assert cfg.default_hooks.clustering.type == "EpochClusteringHook"
    assert cfg.default_hooks.clustering.reset_head_when_halted


def test_images_features_and_probe_fit_together_r41(name):
    cfg = load(name)
    shape, feature_dim, probed = SHAPES[name]
    images = torch.zeros(2, *shape)
    with torch.no_grad():
        algorithm = build(cfg).eval()
        layer = cfg.evaluation.probe_layer
        found = algorithm.extract(images, ("neck", layer))
    assert found["neck"].shape[1] == algorithm.feature_dim == feature_dim
    assert found[layer].shape[1] == probed
    assert cfg.evaluation.test_split == "test"


def test_pipelines_give_images_of_the_size_of_the_network(name):
    cfg = load(name)
    shape = SHAPES[name][0]
    image = Image.effect_noise((28, 28) if shape[0] == 1 else (32, 32), 60)
    for pipeline in (cfg.train_pipeline, cfg.eval_pipeline):
        assert tuple(build_pipeline(pipeline)(image).shape) == shape


def test_nothing_is_drawn_for_clustering_r3(name):
    kinds = [step.type for step in load(name).eval_pipeline]
    assert not [kind for kind in kinds if kind.startswith("Random")]
