"""Trainings that augment in batches: resumed bit for bit (R13), refused before they start."""

import signal

import pytest
import torch
from conftest_engine import CONFIGS, DIGITS, FAST, photos  # noqa: F401 - a fixture
from test_resume import assert_same, interrupt_training

from mmdeepcluster.apis import train
from mmdeepcluster.datasets.device_loader import HeldLoader, WorkerLoader
from mmdeepcluster.engine import ConfigError

HELD = FAST | {"train_dataloader.transforms": "device", "train_cfg.max_epochs": 2}
DEEPER = CONFIGS / "deepercluster" / "deepercluster_convnet_photos.py"
PHOTOS = {
    "model.num_clusters": 4,
    "train_cfg.max_epochs": 2,
    "train_dataloader.batch_size": 16,
    "train_dataloader.transforms": "device",
    "default_hooks.clustering.interval": 2,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 1,
    "eval_dataloader.num_workers": 0,
}


def deepcluster_options():
    options = {key: value for key, value in HELD.items() if ".clustering." not in key}
    return options


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (DIGITS, HELD),
        pytest.param(
            CONFIGS / "deepcluster" / "deepcluster_lenet5_digits.py",
            deepcluster_options(),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_images_in_memory(tmp_path, config, options):
    def run(work_dir, resume=False, **more):
        return train(config, work_dir=work_dir, resume=resume, options=options | more)

    straight = run(tmp_path / "straight")
    assert isinstance(straight.train_dataloader, HeldLoader)
    log = next((tmp_path / "straight").glob("*/*.log")).read_text()
    assert "1.4 MiB of images held on cpu" in log
    interrupt_training(run, tmp_path / "stopped", 9, signal.SIGTERM)
    assert (tmp_path / "stopped" / "iter_10.pth").exists()
    assert_same(straight, run(tmp_path / "stopped", resume=True))


@pytest.mark.slow
def test_files_with_rotations(photos, tmp_path):  # noqa: F811
    """DeeperCluster turns what arrives; 0 and 2 workers and a resumed run give the same bits."""

    def run(work_dir, resume=False, workers=0, **more):
        options = PHOTOS | {"data_root": str(photos), "train_dataloader.num_workers": workers}
        return train(DEEPER, work_dir=work_dir, resume=resume, options=options | more)

    straight = run(tmp_path / "straight")
    assert isinstance(straight.train_dataloader, WorkerLoader)
    interrupt_training(run, tmp_path / "stopped", 5, signal.SIGTERM, workers=2)
    assert_same(straight, run(tmp_path / "stopped", resume=True, workers=2))


def test_a_pipeline_that_cannot_be_followed(tmp_path):
    pipeline = [dict(type="Grayscale"), dict(type="RandomPerspective"), dict(type="PILToTensor")]
    wanted = HELD | {"train_pipeline": pipeline}
    with pytest.raises(ConfigError, match="cannot execute RandomPerspective; it executes"):
        train(DIGITS, work_dir=tmp_path, options=wanted)
    with pytest.raises(ConfigError, match="transforms must be one of"):
        train(DIGITS, work_dir=tmp_path, options=HELD | {"train_dataloader.transforms": "gpu"})
    with pytest.raises(ConfigError, match=r"in_memory_limit=9 is of methods .* does so once"):
        train(DIGITS, work_dir=tmp_path, options=HELD | {"eval_dataloader.in_memory_limit": 9})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_waits():
    """A GPU makes of a draw what the CPU makes of it, but for divisions by numbers, which it
    rounds otherwise."""
    import numpy as np
    from torchvision.transforms import v2

    from mmdeepcluster.datasets.transforms.batched import BatchPipeline, build_steps

    steps = build_steps(
        [
            v2.RandomResizedCrop(24),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(10, translate=(0.1, 0.1)),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(5)], p=0.5),
        ]
    )
    pixels = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    pipeline, seeds = BatchPipeline(steps), np.arange(64)
    there = pixels.cuda()
    pipeline(there.clone(), seeds)  # tables are made at the first call
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = pipeline(there, seeds)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    difference = (found.cpu().int() - pipeline(pixels, seeds).int()).abs()
    assert (difference > 0).float().mean() < 0.01
