"""A memory that works but does not learn is not ODC: shipped configs against their own start."""

import json
import os

import pytest
from conftest_engine import CONFIGS, DIGITS
from test_training import scalars

from mmdeepcluster.apis import train

DATA = os.environ.get("MMDEEPCLUSTER_DATA")


def test_digits(tmp_path):
    train(DIGITS, work_dir=tmp_path, options={"train_dataloader.num_workers": 0})
    report = json.loads((tmp_path / "report.json").read_text())
    lines = scalars(tmp_path)
    # Seen: +3 to +8 points and +0.11 to +0.23 for seeds 0 to 3; other processors round otherwise.
    assert report["knn"]["accuracy"] > report["knn_untrained"]["accuracy"] + 0.015
    assert report["memory"]["nmi"] > report["initial"]["nmi"] + 0.10
    changes = [line["change_ratio"] for line in lines if "change_ratio" in line]
    assert max(changes) > 0.05 and changes[-1] < 0.1
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.5 * losses[0]
    assert all(line["epoch/num_empty"] == 0 for line in lines if "epoch/num_empty" in line)
    assert all(line["clusters/num_empty"] == 0 for line in lines if "clusters/num_empty" in line)


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="set MMDEEPCLUSTER_DATA to a folder with CIFAR-10")
def test_cifar10(tmp_path):
    config = CONFIGS / "odc" / "odc_convnet_cifar10.py"
    train(config, work_dir=tmp_path, options={"dataset.root": DATA})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["knn"]["accuracy"] > report["knn_untrained"]["accuracy"] + 0.05
    assert report["memory"]["nmi"] > report["initial"]["nmi"] + 0.03
