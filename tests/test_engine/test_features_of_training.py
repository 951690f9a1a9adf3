"""``model.features='from_training'``: no extraction after the first, exact on resume (R13)."""

import signal

import pytest
import torch
from test_epoch_clustering import passes, run, scalars
from test_resume import assert_same, interrupt_training

from mmdeepcluster.engine import ConfigError
from mmdeepcluster.models import DeepCluster
from mmdeepcluster.registry import ALGORITHMS

OPTIONS = {"model.features": "from_training", "train_cfg.max_epochs": 2}


def train_from(work_dir, resume=False, **options):
    return run(work_dir, resume, **(OPTIONS | options))


def test_one_pass_and_resume(tmp_path):
    straight = train_from(tmp_path / "straight")
    assert passes(straight) == 1
    assert set(scalars(tmp_path / "straight", "cycle/images_per_second")) == {1}
    shares = [
        scalars(tmp_path / "straight", f"speed/share_{name}")[1]
        for name in ("step", "data", "rest")
    ]
    assert sum(shares) == pytest.approx(1.0) and min(shares) >= 0
    assert scalars(tmp_path / "straight", "speed/images_per_second")[2] > 0
    log = next((tmp_path / "straight").glob("*/*.log")).read_text()
    assert "features of the training" in log and "Speed [2]" in log
    interrupt_training(train_from, tmp_path / "parts", 10, signal.SIGTERM)
    assert_same(straight, train_from(tmp_path / "parts", resume=True))
    with pytest.raises(ConfigError, match=r"model.features is another one"):
        train_from(tmp_path / "parts", resume=True, **{"model.features": "extraction"})


def build(**changes):
    return ALGORITHMS.build(
        {
            "type": "DeepCluster",
            "num_samples": 40,
            "num_clusters": 4,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "ClusterHead"},
            "features": "from_training",
        }
        | changes
    )


def test_the_bank_holds_the_last_features():
    algorithm = build()
    first = torch.randn(40, 84, generator=torch.Generator().manual_seed(0))
    assert algorithm.features_of_training() is None
    algorithm.recluster(first, seed=0)
    assert torch.equal(algorithm.features_of_training(), first)
    algorithm.eval()  # so that a row does not depend on its batch
    images = torch.randn(3, 1, 32, 32)
    algorithm.loss(images, torch.tensor([7, 9, 7]))  # 7 is drawn twice: its last one counts
    rows = algorithm.extract(images, ("neck",))["neck"]
    bank = algorithm.features_of_training()
    assert torch.allclose(bank[[7, 9]], rows[[2, 1]], atol=1e-6)
    others = [index for index in range(40) if index not in (7, 9)]
    assert torch.equal(bank[others], first[others])
    assert (
        algorithm.memory_estimate(1).device - build(features="extraction").memory_estimate(1).device
        == 40 * 84 * 4
    )


def test_more_than_one_process_is_refused():
    from mmdeepcluster.clustering import Partition

    with pytest.raises(ValueError, match=r"from_training.* one process, there are 2"):
        build().shard(Partition(40, 0, 0, 2))
    with pytest.raises(ValueError, match=r"model.features must be one of"):
        build(features="bank")
    assert isinstance(build(features="extraction"), DeepCluster)
