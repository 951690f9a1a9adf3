"""The linear probe that a report may end with (R41)."""

import json

import pytest
import torch
from conftest_engine import DIGITS, FAST

from mmdeepcluster.apis import train
from mmdeepcluster.apis.train import prepare_training
from mmdeepcluster.engine import ConfigError, build_runner, eval_loader, get_algorithm
from mmdeepcluster.engine.report import probe_score
from mmdeepcluster.evaluation import probe_id
from mmdeepcluster.models import extract

PROBE = FAST | {"evaluation.probe_layer": "conv_2.flat", "train_cfg.max_epochs": 1}


def test_a_report_ends_with_the_probe_r41(tmp_path):
    train(DIGITS, work_dir=tmp_path, options=PROBE)
    found = json.loads((tmp_path / "report.json").read_text())["probe"]
    assert found["layer"] == "conv_2.flat" and found["feature_dim"] == 1600
    assert (found["num_train"], found["num_test"], found["num_classes"]) == (1437, 360, 10)
    assert found["protocol"] == probe_id()
    assert 0.7 < found["accuracy"] < 1
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert f"linear probe    {found['accuracy']:.4f} on conv_2.flat" in log


def test_the_network_is_left_as_it_is_r41(tmp_path):
    resolved = prepare_training(DIGITS, work_dir=tmp_path, options=PROBE)
    algorithm = get_algorithm(build_runner(resolved)).train()
    before = {name: value.clone() for name, value in algorithm.state_dict().items()}
    found = probe_score(resolved, algorithm)
    assert found["accuracy"] > 0.7
    features = extract(algorithm, eval_loader(resolved, resolved.dataset), ("conv_2.flat",))
    assert probe_score(resolved, algorithm, features["conv_2.flat"]) == found
    assert algorithm.training
    for name, value in algorithm.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluation.probe_layer": "conv_9"}, r"probe_layer: unknown layers \['conv_9'\]"),
        ({"evaluation.probe_layer": "conv_2.avg50"}, r"evaluation.probe_layer: .*"),
        ({"evaluation.test_split": None}, r"probe_layer='conv_2.flat' needs test images"),
        ({"evaluation.num_clusters": 1}, r"num_clusters must be at least 2, got 1"),
    ],
)
def test_a_probe_that_cannot_be_is_refused_before_training(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        build_runner(prepare_training(DIGITS, work_dir=tmp_path, options=PROBE | options))


def test_none_by_default(tmp_path):
    resolved = prepare_training(DIGITS, work_dir=tmp_path, options=FAST)
    assert probe_score(resolved, get_algorithm(build_runner(resolved))) is None
