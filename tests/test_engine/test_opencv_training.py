"""Trainings whose pipeline OpenCV executes: resumed bit for bit (R13), or refused at the start."""

import pytest
from conftest_engine import CONFIGS, FAST, photos  # noqa: F401
from test_resume import assert_same, interrupt_training, losses

from mmdeepcluster.apis import train
from mmdeepcluster.datasets import OpenCVView
from mmdeepcluster.engine import ConfigError, resolve_config

CONFIG = CONFIGS / "odc" / "finetune" / "odc_convnet_photos_30e.py"
OPTIONS = FAST | {
    "model.num_clusters": 6,
    "train_dataloader.batch_size": 16,
    "train_dataloader.transforms": "opencv",
    "dataset.cache.shorter_side": 44,
}


@pytest.fixture
def run(photos):  # noqa: F811
    def start(work_dir, resume=False, **options):
        place = {"data_root": str(photos), "dataset.cache.dir": str(photos.parent / "cache")}
        return train(CONFIG, work_dir=work_dir, resume=resume, options=OPTIONS | place | options)

    return start


def test_resume_with_data_workers_is_bit_for_bit(run, tmp_path):
    straight = run(tmp_path / "straight")
    view = straight.train_dataloader.dataset
    assert isinstance(view, OpenCVView) and min(view.dataset.load_image(0).size) == 44
    workers = {"train_dataloader.num_workers": 2}
    interrupt_training(run, tmp_path / "resumed", iteration=5, number=15, **workers)
    resumed = run(tmp_path / "resumed", resume=True)
    assert_same(straight, resumed)
    assert losses(tmp_path / "straight") == losses(tmp_path / "resumed")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"train_dataloader.transforms": "open-cv"},
            "train_dataloader.transforms must be one of .*'opencv', 'device', got 'open-cv'",
        ),
        (
            {"train_pipeline.4.type": "RandomEqualize"},
            r"transforms='opencv' cannot execute 'RandomEqualize'.*transforms='torchvision'",
        ),
        ({"dataset.cache.size": 3}, "dataset.cache has no option 'size'"),
        ({"eval_dataloader.transforms": "opencv"}, "eval_dataloader.transforms: unknown key"),
    ],
)
def test_refusals(run, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "work", **options)


def test_the_cache_of_a_folder_given_as_data_root(photos, tmp_path):  # noqa: F811
    options = {"data_root": str(photos), "dataset.cache.dir": str(tmp_path / "cache")}
    resolved = resolve_config(CONFIG, options)
    assert resolved.cfg.dataset.cache == {"dir": str(tmp_path / "cache")}
    again = resolve_config(resolved.cfg)
    assert again.dataset.read_file(3) == resolved.dataset.read_file(3)
