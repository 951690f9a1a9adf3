"""The DeepCluster configs hold the numbers of paper and releases (R3 to R5, R9 to R11)."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torchvision.transforms import v2

from mmdeepcluster.clustering import KMeans
from mmdeepcluster.datasets.transforms import build_pipeline
from mmdeepcluster.engine import load_config
from mmdeepcluster.registry import ALGORITHMS

CONFIGS = Path(__file__).parents[2] / "configs" / "deepcluster"
FEATURES = {
    "deepcluster_alexnet": 4096,
    "deepcluster_vgg16": 4096,
    "deepcluster_r50": 2048,
    "deepcluster_r50_sobel": 2048,
}


def load(name):
    init_default_scope("mmdeepcluster")
    return load_config(CONFIGS / f"{name}.py")


def build(cfg):
    model = cfg.model.to_dict() | {"num_samples": 1_281_167}
    with torch.device("meta"):
        return ALGORITHMS.build(model)


@pytest.mark.parametrize("name", FEATURES)
def test_clustering_of_the_paper(name):
    algorithm = build(load(name))
    assert algorithm.num_clusters == 10_000 and algorithm.feature_dim == FEATURES[name]
    transform = algorithm.feature_transform
    assert (transform.dim, transform.whiten, transform.normalize) == (256, True, True)
    assert type(algorithm.clusterer) is KMeans and algorithm.clusterer.max_iters == 20
    assert algorithm.loss_module.power == 0  # plain cross-entropy, with uniform sampling
    assert algorithm.head_start == "random" and not algorithm.warm_start
    assert load(name).train_dataloader.sampler.type == "UniformClusterSampler"


@pytest.mark.parametrize(
    ("name", "batch", "rate"),
    [
        ("deepcluster_alexnet", 256, 0.05),
        ("deepcluster_vgg16", 256, 0.05),
        ("deepcluster_r50", 512, 0.1),
        ("deepcluster_r50_sobel", 512, 0.1),
    ],
)
def test_optimizer(name, batch, rate):
    cfg = load(name)
    assert cfg.auto_scale_lr == dict(base_batch_size=batch)
    assert cfg.param_scheduler == []  # a constant rate
    algorithm = build(cfg)
    optimizer = build_optim_wrapper(algorithm, cfg.optim_wrapper).optimizer
    head = {id(parameter) for parameter in algorithm.head.parameters()}
    momenta = {True: set(), False: set()}
    for group in optimizer.param_groups:
        assert group["weight_decay"] == 1e-5 and group["lr"] == rate
        for parameter in group["params"]:
            momenta[id(parameter) in head].add(group["momentum"])
    assert momenta == {True: {0.0}, False: {0.9}}


def test_alexnet_and_vgg_see_edges_and_crops_alone():
    for name in ("deepcluster_alexnet", "deepcluster_vgg16"):
        cfg = load(name)
        steps = build_pipeline(cfg.train_pipeline).transforms[1:-1]
        assert [type(step) for step in steps] == [v2.RandomResizedCrop, v2.RandomHorizontalFlip]
        convs = [m for m in build(cfg).backbone.modules() if isinstance(m, torch.nn.Conv2d)]
        assert {conv.in_channels for conv in convs} >= {2}  # behind the Sobel filter
    assert load("deepcluster_alexnet").train_cfg.max_epochs == 500


@pytest.mark.parametrize("name", ["deepcluster_alexnet", "deepcluster_vgg16"])
def test_features_are_taken_before_the_last_relu(name):
    backbone = build(load(name)).backbone
    last = backbone.stage_names[backbone.out_indices[-1]]
    assert last.startswith("fc_") and last == backbone.stage_names[-2]
