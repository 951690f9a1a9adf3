"""The configs for ImageNet hold the numbers of the ODC paper (R47 to R49)."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from mmdeepcluster.datasets.transforms import build_pipeline
from mmdeepcluster.engine import load_config, resolve_config
from mmdeepcluster.registry import ALGORITHMS, PARAM_SCHEDULERS

CONFIGS = Path(__file__).parents[2] / "configs" / "odc"
NAMES = ("odc_r50", "odc_r50_released", "odc_alexnet")


@pytest.fixture(params=NAMES)
def cfg(request):
    return load(request.param)


def load(name):
    init_default_scope("mmdeepcluster")
    return load_config(CONFIGS / f"{name}.py")


def build_model(cfg):
    """The network on the meta device: shapes and options, no memory."""
    model = cfg.model.to_dict() | {"num_samples": 1_281_167}
    model["data_preprocessor"] = cfg.data_preprocessor.to_dict()
    with torch.device("meta"):
        return ALGORITHMS.build(model)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("odc_r50", [0.06, 0.06, 0.006, 0.006]),
        ("odc_r50_released", [0.06, 0.06, 0.024, 0.024]),
        ("odc_alexnet", [0.04, 0.04, 0.004, 0.004]),
    ],
)
def test_learning_rate_of_r49(name, rates):
    cfg = load(name)
    model = nn.ModuleDict({part: nn.Linear(1, 1) for part in ("backbone", "neck", "head")})
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=wrapper))
        for scheduler in cfg.param_scheduler
    ]
    trace = []
    for _ in range(cfg.train_cfg.max_epochs):
        epoch = []
        for _ in range(2):  # iterations
            wrapper.update_params(sum(p.sum() for p in model.parameters()))
            epoch.append({group["lr"] for group in wrapper.param_groups})
        assert epoch[0] == epoch[1] and len(epoch[0]) == 1  # one rate for all, head included
        trace += epoch[0]
        for scheduler in schedulers:
            scheduler.step()
    assert len(trace) == 440
    assert [trace[epoch] for epoch in (0, 399, 400, 439)] == pytest.approx(rates)


def test_optimizer_of_r49(cfg):
    model = build_model(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert isinstance(optimizer, torch.optim.SGD)
    head = {id(parameter) for parameter in model.head.parameters()}
    momenta = {True: set(), False: set()}
    for group in optimizer.param_groups:
        assert group["weight_decay"] == 1e-5
        for parameter in group["params"]:
            momenta[id(parameter) in head].add(group["momentum"])
    assert momenta == {True: {0.0}, False: {0.9}}


def test_batch_of_r49(cfg):
    # 512 images on 8 processes
    assert cfg.auto_scale_lr == dict(base_batch_size=512)
    assert cfg.train_dataloader.batch_size * 8 == 512
    assert cfg.sync_bn == "torch"  # R21


def test_clusters_and_neck_of_the_paper(cfg):
    # R42, R44, R46, R47
    model = build_model(cfg)
    assert model.num_clusters == 10_000 and model.feature_dim == 256
    assert model.memory.momentum == 0.5
    assert model.memory.min_cluster_size == 20
    assert model.memory.centroids_update_interval == 10
    assert model.loss_module.power == 0.5
    width = {"ResNet": 2048, "AlexNet": 4096}[type(model.backbone).__name__]
    assert model.neck.fc0.weight.shape == (512, width)
    assert model.neck.bn0.momentum == 0.001 and not model.neck.bn0.affine
    assert model.neck.drop.p == 0.5
    assert isinstance(model.neck.final_relu, nn.ReLU)


def test_what_the_release_does_otherwise():
    # the table of contradictions in the requirements, section 0.2
    assert load("odc_r50").model.memory.assign_metric == "l2"
    assert build_model(load("odc_r50")).copy_reused_rows
    released = build_model(load("odc_r50_released"))
    assert released.memory.assign_metric == "dot"
    assert not released.copy_reused_rows


def test_augmentation_of_r48(cfg):
    crop, flip, rotation, jitter, grey = build_pipeline(cfg.train_pipeline).transforms[1:-1]
    assert isinstance(crop, v2.RandomResizedCrop) and tuple(crop.size) == (224, 224)
    assert isinstance(flip, v2.RandomHorizontalFlip) and flip.p == 0.5
    assert isinstance(rotation, v2.RandomRotation) and list(rotation.degrees) == [-2, 2]
    assert isinstance(jitter, v2.ColorJitter)
    paper = v2.ColorJitter(0.4, 0.4, 1.0, 0.5)
    for factor in ("brightness", "contrast", "saturation", "hue"):
        assert getattr(jitter, factor) == getattr(paper, factor)
    assert jitter.brightness == jitter.contrast == (0.6, 1.4)
    assert jitter.saturation == (0, 2) and jitter.hue == (-0.5, 0.5)
    assert isinstance(grey, v2.RandomGrayscale) and grey.p == 0.2


@pytest.mark.parametrize("size", [(40, 30), (300, 500)])
def test_both_views_are_of_224_pixels(cfg, size):
    image = Image.effect_noise(size, 50).convert("RGB")
    views = [build_pipeline(cfg[f"{view}_pipeline"])(image) for view in ("train", "eval")]
    assert all(view.shape == (3, 224, 224) and view.dtype == torch.uint8 for view in views)
    # R3: shorter side to 256, then the middle 224
    resize, crop = build_pipeline(cfg.eval_pipeline).transforms[1:-1]
    assert (resize.size, tuple(crop.size)) == ([256], (224, 224))


def test_normalisation_is_that_of_imagenet(cfg):
    # the constants of torchvision's weights, in units of 0..1
    assert cfg.data_preprocessor.mean == pytest.approx([255 * x for x in (0.485, 0.456, 0.406)])
    assert cfg.data_preprocessor.std == pytest.approx([255 * x for x in (0.229, 0.224, 0.225)])


def test_folders_of_imagenet_are_classes(cfg, tmp_path):
    for name in ("n02", "n01"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name / f"{number}.JPEG")
    options = {"dataset.root": str(tmp_path), "model.num_clusters": 3}
    dataset = resolve_config(cfg, options | {"model.memory.min_cluster_size": 2}).dataset
    assert dataset.class_names == ("n01", "n02")
    assert dataset.eval_labels.tolist() == [0] * 5 + [1] * 5
