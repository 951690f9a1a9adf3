"""R51: an epoch of ODC from a file of another project, through the whole training."""

import re

import pytest
import torch
import torchvision
from conftest_engine import CONFIGS, DIGITS, FAST

from mmdeepcluster.apis import train
from mmdeepcluster.engine import ConfigError, get_algorithm

SMALL = CONFIGS / "odc" / "finetune" / "odc_convnet_cifar10_10e.py"
BACKBONE = {
    "model.backbone": {"_delete_": True, "type": "ResNet", "depth": 18},
    "model.num_clusters": 4,
    "model.memory.min_cluster_size": 2,
}
ONE_EPOCH = {
    "train_cfg.max_epochs": 1,
    "train_dataloader.batch_size": 16,
    "train_dataloader.num_workers": 0,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 1,
}


def log_of(work_dir):
    return next(work_dir.glob("*/*.log")).read_text()


def test_an_epoch_from_a_moco_file(photos, tmp_path):
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18()
    weights = {f"module.encoder_q.{name}": v for name, v in theirs.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 200}, tmp_path / "moco.pth")
    frozen = {"optim_wrapper.optimizer.lr": 0.0, "optim_wrapper.optimizer.weight_decay": 0.0}
    options = ONE_EPOCH | BACKBONE | frozen | {"load_from": str(tmp_path / "moco.pth")}
    options["data_root"] = str(photos)
    runner = train(SMALL, work_dir=tmp_path / "w", options=options)
    assert runner.epoch == 1
    assert torch.equal(get_algorithm(runner).backbone.conv1.weight, theirs.conv1.weight)
    log = log_of(tmp_path / "w")
    assert "layout: MoCo v1/v2, backbone below 'state_dict.module.encoder_q'" in log
    assert "backbone: 100 of 100 weights matched" in log
    assert re.search(r"starts anew: neck", log) and re.search(r"starts anew: head", log)
    assert "in the file, not used: module.encoder_q.fc (2)" in log


def test_the_start_is_asked_for_before_images_are_read(tmp_path):
    with pytest.raises(ConfigError, match=r"start.pth: there is no such file; .*load_from=FILE"):
        train(SMALL, work_dir=tmp_path, options={"dataset.root": "nowhere"})


def test_a_part_of_a_backbone_needs_the_switch(tmp_path):
    run = FAST | {"train_cfg.max_epochs": 1, "load_from": str(tmp_path / "w.pth")}
    from mmdeepcluster.models.backbones import LeNet5

    weights = LeNet5().state_dict()
    del weights["fc2.weight"]
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(
        ConfigError, match=r"missing in the file: fc2.weight.*load_from_strict=Fals"
    ):
        train(DIGITS, work_dir=tmp_path / "a", options=run)
    train(DIGITS, work_dir=tmp_path / "b", options=run | {"load_from_strict": False})
    assert "missing in the file: fc2.weight" in log_of(tmp_path / "b")
