"""DeeperCluster trains, is interrupted and killed, and goes on as if nothing was (R13, R57-R59)."""

import json
import multiprocessing
import os
import signal

import pytest
import torch
from conftest_engine import CONFIGS, photos  # noqa: F401 - a fixture
from mmengine.hooks import Hook
from test_resume import assert_same, interrupt_training

from mmdeepcluster.apis import train
from mmdeepcluster.clustering import TwoLevelKMeans
from mmdeepcluster.engine import (
    ConfigError,
    TrainingInterruptedError,
    find_last_checkpoint,
    get_algorithm,
    resolve_config,
)
from mmdeepcluster.engine import build as build
from mmdeepcluster.models import DeeperCluster
from mmdeepcluster.models.backbones import ConvNet
from mmdeepcluster.registry import BACKBONES, HOOKS

CONFIG = CONFIGS / "deepercluster" / "deepercluster_convnet_photos.py"
OPTIONS = {
    "train_cfg.max_epochs": 4,
    "train_dataloader.num_workers": 0,
    "train_dataloader.batch_size": 16,
    "eval_dataloader.num_workers": 0,
    "eval_dataloader.batch_size": 16,
    "default_hooks.clustering.interval": 2,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 1,
    "model.num_clusters": 6,
    "model.feature_transform.dim": 8,
    "model.backbone.widths": [4, 4, 8, 8, 16],
}


@HOOKS.register_module()
class Turns(Hook):
    """Keeps the labels of each epoch."""

    priority = "LOWEST"
    labels: list = []

    def before_train(self, runner):
        type(self).labels = []

    def before_train_epoch(self, runner):
        self.labels.append(get_algorithm(runner).labels())


def start(folder):
    def run(work_dir, resume=False, **options):
        options = OPTIONS | {"data_root": str(folder)} | options
        return train(CONFIG, work_dir=work_dir, resume=resume, options=options)

    return run


def test_interrupted_across_a_clustering_is_uninterrupted(photos, tmp_path):  # noqa: F811
    """Must show: stopped in epoch 2, of the first cycle; the second clustering is done resumed."""
    run = start(photos)
    whole = run(tmp_path / "whole", custom_hooks=[{"type": "Turns"}])
    first, _, second, _ = Turns.labels
    assert torch.equal(first, Turns.labels[1]) and not torch.equal(first, second)
    assert get_algorithm(whole).cycle == 2
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        options = {"train_dataloader.num_workers": workers}
        interrupt_training(run, folder, 5, signal.SIGTERM, **options)
        assert_same(whole, run(folder, resume=True, **options))


def test_a_signal_while_features_are_extracted(photos, tmp_path, monkeypatch):  # noqa: F811
    run = start(photos)
    whole = run(tmp_path / "whole")
    calls = []
    original = DeeperCluster.extract

    def extract(self, inputs, layers):
        if self.cycle == 1 and layers == ("neck",):
            calls.append(len(inputs))
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, inputs, layers)

    monkeypatch.setattr(DeeperCluster, "extract", extract)
    with pytest.raises(TrainingInterruptedError, match=r"SIGTERM, saved .*epoch_2.pth"):
        run(tmp_path / "cut")
    assert calls == [16]  # the pass was given up after its first batch
    monkeypatch.undo()
    assert_same(whole, run(tmp_path / "cut", resume=True))


def die_while_clustering(folder, work_dir):
    fits = []
    original = TwoLevelKMeans.fit

    def fit(self, *args, **kwargs):
        fits.append(1)
        if len(fits) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **kwargs)

    TwoLevelKMeans.fit = fit
    start(folder)(work_dir)


def test_killed_while_it_clusters(photos, tmp_path):  # noqa: F811
    """Must show: kill -9 during a clustering; the clustering is begun again."""
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=die_while_clustering, args=(photos, tmp_path / "cut"))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert find_last_checkpoint(tmp_path / "cut").name == "epoch_2.pth"
    run = start(photos)
    assert_same(run(tmp_path / "whole"), run(tmp_path / "cut", resume=True))


@pytest.mark.parametrize(
    ("options", "logged"),
    [
        # RotNet: one cluster, found once
        (
            {
                "model.num_clusters": 1,
                "model.num_super_clusters": 1,
                "default_hooks.clustering.halt_after": 1,
            },
            {"loss_super", "rotation_accuracy"},
        ),
        # DeepCluster
        ({"model.num_rotations": 1, "model.num_super_clusters": 1}, {"loss_sub"}),
        # the simple mode
        ({"model.head.type": "ProductHead"}, {"rotation_accuracy"}),
        ({}, {"loss_super", "loss_sub", "rotation_accuracy", "super_accuracy"}),
    ],
    ids=["rotnet", "deepcluster", "product", "deeper"],
)
def test_members_of_the_family_are_options(photos, tmp_path, options, logged):  # noqa: F811
    runner = start(photos)(tmp_path, **{"train_cfg.max_epochs": 2} | options)
    algorithm = get_algorithm(runner)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["memory"]["num_empty"] == 0
    lines = [
        json.loads(line)
        for path in tmp_path.glob("*/vis_data/scalars.json")
        for line in path.read_text().splitlines()
    ]
    keys = {key for line in lines for key in line}
    names = {"loss_super", "loss_sub", "rotation_accuracy", "super_accuracy"}
    assert keys & names == logged
    first = next(line["loss"] for line in lines if "loss" in line)
    assert first == pytest.approx(algorithm.chance_loss, rel=0.1)


def test_every_cluster_lies_in_one_super_cluster(photos, tmp_path):  # noqa: F811
    """R58, in a run: super-clusters of the labels are those of the first level."""
    runner = start(photos)(tmp_path, **{"train_cfg.max_epochs": 1})
    labels = get_algorithm(runner).labels()
    assert sorted(labels.unique().tolist()) == list(range(6))
    assert bool((torch.bincount(labels // 3) >= 3).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.num_clusters": 7}, r"num_clusters \(7\) must be a multiple of"),
        ({"model.grouped": True}, "need a multiple of 8 processes, there are 1"),
        ({"model.num_clusters": 0}, "must be 'auto' or an integer >= 1, got 0"),
        ({"model.type": "DeepCluster"}, "num_super_clusters: unknown key of DeepCluster"),
        (
            {"train_pipeline": [dict(type="Resize", size=(64, 80)), dict(type="PILToTensor")]},
            "64x80 cannot be turned by 90 degrees.*model.num_rotations=1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(photos, tmp_path, options, message):  # noqa: F811
    with pytest.raises(ConfigError, match=message):
        start(photos)(tmp_path, **options)


@pytest.mark.parametrize("grouped", [False, True])
def test_what_does_not_fit_into_memory_is_refused(
    photos,  # noqa: F811
    tmp_path,
    monkeypatch,
    grouped,
):
    """R59: before anything is allocated, with the way out."""
    monkeypatch.setattr(build, "main_memory", lambda: 1 << 14)
    options = {"model.num_super_clusters": 1, "model.num_rotations": 1, "model.grouped": grouped}
    text = r"a process needs .*its part of the main memory is 16.0 KiB: start more processes"
    with pytest.raises(ConfigError, match=text) as refused:
        start(photos)(tmp_path, **options)
    assert ("with model.grouped=True" in str(refused.value)) != grouped
    assert not (tmp_path / "last_checkpoint").exists()


@BACKBONES.register_module()
class Reckoner(ConvNet):
    """Computes with numbers while it is built."""

    def __init__(self, pretrained=False, **options):
        super().__init__(**options)
        assert not pretrained or next(self.parameters()).device.type != "meta"
        self.largest = float(next(self.parameters()).detach().max())


def test_what_cannot_be_estimated_is_trained_all_the_same(photos, tmp_path):  # noqa: F811
    options = {"model.backbone.type": "Reckoner", "model.backbone.pretrained": True}
    runner = start(photos)(tmp_path, **{"train_cfg.max_epochs": 1} | options)
    assert get_algorithm(runner).backbone.largest > 0
    (log,) = tmp_path.glob("*/*.log")
    assert "memory of a process: not estimated" in log.read_text()


def test_auto_is_a_multiple_of_the_super_clusters(photos):  # noqa: F811
    # 60 images: 16 clusters by the rule, and 15 are the most that 5 divide
    options = {"data_root": str(photos), "model.num_super_clusters": 5}
    assert resolve_config(CONFIG, options).cfg.model.num_clusters == 15
