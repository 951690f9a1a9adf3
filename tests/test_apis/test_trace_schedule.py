"""Schedules against the closed forms of MMEngine's schedulers."""

import json
import math

import numpy as np
import pytest

from mmdeepcluster.apis import trace_schedule, train, write_schedule
from mmdeepcluster.engine import ConfigError

DIGITS = "configs/odc/odc_lenet5_digits.py"
EPOCH = 23  # ceil(1437 / 64)


def cosine(step, total, start, least=0.0):
    return least + (start - least) * (1 + math.cos(math.pi * step / total)) / 2


def test_steps_of_the_digits():
    found = trace_schedule(DIGITS, ["lr", "momentum"])
    assert (found.epoch_length, found.max_epochs, found.scale) == (EPOCH, 100, 1.0)
    assert found.groups == ("backbone + neck", "head")
    lr = dict(zip(found.iterations.tolist(), found.values["lr"].tolist(), strict=True))
    # the head learns ten times faster; a tenth from epoch 81 on
    assert lr[1] == [0.06, 0.6] and lr[79 * EPOCH + 1] == [0.06, 0.6]
    assert lr[80 * EPOCH + 1] == pytest.approx([0.006, 0.06])
    assert lr[100 * EPOCH] == pytest.approx([0.006, 0.06])
    assert found.values["momentum"].max(axis=0).tolist() == [0.9, 0.0]


def test_cosine_by_iteration_behind_a_warm_up():
    options = {
        "train_cfg.max_epochs": 4,
        "param_scheduler": [
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
            dict(type="CosineAnnealingLR", by_epoch=False, begin=10, T_max=70, eta_min=0.001),
        ],
    }
    found = trace_schedule(DIGITS, options=options, dataset_size=64 * 20)
    assert found.iterations.tolist() == list(range(1, 81))
    lr = found.values["lr"][:, 0]
    # LinearLR reaches the rate in end - 1 steps
    expected = [0.06 * (0.1 + 0.9 * min(i, 9) / 9) for i in range(10)]
    expected += [cosine(i, 70, 0.06, 0.001) for i in range(70)]
    assert lr == pytest.approx(np.array(expected), rel=1e-9)


def test_epochs_made_iterations_and_adam():
    options = {
        "optim_wrapper.optimizer": dict(type="Adam", lr=0.01, betas=(0.8, 0.99), _delete_=True),
        "optim_wrapper.paramwise_cfg": None,
        "param_scheduler": [dict(type="CosineAnnealingLR", convert_to_iter_based=True)],
        "train_cfg.max_epochs": 2,
    }
    found = trace_schedule(DIGITS, ["lr", "momentum", "wd"], options=options)
    assert found.groups == ("backbone + neck + head",)
    expected = [cosine(i, 2 * EPOCH, 0.01) for i in range(2 * EPOCH)]
    assert found.values["lr"][:, 0] == pytest.approx(np.array(expected))
    assert set(found.values["momentum"].ravel()) == {0.8}
    assert set(found.values["wd"].ravel()) == {0.0}


def test_long_trainings_are_thinned_but_for_what_changes():
    options = {"param_scheduler": [dict(type="LinearLR", start_factor=0.01, by_epoch=False,
                                        end=50)]}  # fmt: skip
    found = trace_schedule(DIGITS, options=options, dataset_size=64 * 1000)
    assert found.epoch_length == 1000 and len(found.iterations) < 5200
    assert set(range(1, 51)) <= set(found.iterations.tolist())
    assert {1 + 1000 * epoch for epoch in range(100)} <= set(found.iterations.tolist())
    assert found.iterations[-1] == 100_000


def test_batches_of_several_processes_scale_the_rate():
    found = trace_schedule(DIGITS, num_processes=4, auto_scale_lr=True)
    assert found.scale == 4.0 and found.epoch_length == 6  # ceil(360 / 64)
    assert found.values["lr"][0] == pytest.approx([0.24, 2.4])
    assert trace_schedule(DIGITS, options={"auto_scale_lr.enable": True}).scale == 1.0


def test_what_cannot_be_traced_is_said():
    with pytest.raises(ConfigError, match="--param must be among lr, momentum, wd, got"):
        trace_schedule(DIGITS, ["rl"])
    with pytest.raises(ConfigError, match="--ngpus must be at least 1, got 0"):
        trace_schedule(DIGITS, num_processes=0)
    with pytest.raises(ConfigError, match=r"auto_scale_lr\.base_batch_size"):
        trace_schedule("configs/odc/odc_lenet5_fmnist.py", auto_scale_lr=True, dataset_size=9000,
                       options={"auto_scale_lr": None})  # fmt: skip
    options = {"optim_wrapper.optimizer": dict(type="Rprop", lr=0.01, _delete_=True),
               "optim_wrapper.paramwise_cfg": None}  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"--param momentum: optim_wrapper\.optimizer has no such"
    ):
        trace_schedule(DIGITS, ["momentum"], options=options)


def test_files(tmp_path):
    found = trace_schedule(DIGITS, ["lr", "momentum"])
    picture, table = write_schedule(found, tmp_path / "s" / "a.png")
    rows = table.read_text().splitlines()
    assert rows[0] == (
        "iteration,epoch,lr[backbone + neck],lr[head],momentum[backbone + neck],momentum[head]"
    )
    assert rows[1] == "1,1,0.06,0.6,0.9,0.0" and rows[-1].startswith("2300,100,0.006")
    assert picture.stat().st_size > 5000
    with pytest.raises(ConfigError, match=r"--out .*a\.xyz"):
        write_schedule(found, tmp_path / "a.xyz")


def test_a_training_follows_it(tmp_path):
    """The rates that a real training logs are those that were foretold."""
    options = {
        "train_cfg.max_epochs": 2,
        "train_dataloader.num_workers": 0,
        "train_dataloader.batch_size": 256,
        "default_hooks.clustering.label_warmup": 0,
        "default_hooks.logger.interval": 1,
        "evaluation.test_split": None,
        "param_scheduler": [
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5),
            dict(type="StepLR", step_size=1, gamma=0.5),
        ],
    }
    runner = train(DIGITS, work_dir=tmp_path, auto_scale_lr=True, options=options)
    found = trace_schedule(DIGITS, options=options, auto_scale_lr=True)
    lines = (next(tmp_path.glob("*/vis_data/scalars.json"))).read_text().splitlines()
    logged = [row["lr"] for row in map(json.loads, lines) if "lr" in row]
    assert len(logged) == runner.max_iters == 12 and found.iterations.tolist() == list(range(1, 13))
    assert found.values["lr"][:, 0] == pytest.approx(np.array(logged))
