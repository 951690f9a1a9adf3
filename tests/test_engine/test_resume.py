"""R13: interrupted and resumed is uninterrupted, bit for bit; killed anywhere, nothing is lost."""

import json
import os
import signal

import pytest
import torch
from conftest_engine import DIGITS, FAST
from mmengine.hooks import Hook

from mmdeepcluster.apis import train
from mmdeepcluster.engine import TrainingInterruptedError, get_algorithm
from mmdeepcluster.registry import HOOKS

# Dropout, so that the random state matters; K small enough for refilled clusters to occur.
OPTIONS = FAST | {"train_cfg.max_epochs": 4, "model.neck.dropout": 0.5}


@HOOKS.register_module()
class SignalAt(Hook):
    """Sends this process a signal after an iteration, as a cluster would."""

    def __init__(self, iteration, number=int(signal.SIGTERM)):
        self.iteration, self.number = iteration, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), self.number)


def run(work_dir, resume=False, **options):
    return train(DIGITS, work_dir=work_dir, resume=resume, options=OPTIONS | options)


def interrupt(work_dir, iteration, number=signal.SIGTERM, **options):
    return interrupt_training(run, work_dir, iteration, number, **options)


def interrupt_training(start, work_dir, iteration, number, **options):
    """Starts a training and signals it at an iteration; what it says at the end."""
    hook = {"type": "SignalAt", "iteration": iteration, "number": int(number)}
    with pytest.raises(TrainingInterruptedError) as stopped:
        start(work_dir, custom_hooks=[hook], **options)
    assert stopped.value.exit_code == 128 + number
    return str(stopped.value)


def losses(work_dir):
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob("*/vis_data/scalars.json"))
        for line in path.read_text().splitlines()
    ]
    return [(line["step"], line["loss"], line["change_ratio"]) for line in lines if "loss" in line]


def assert_same(first, second):
    one, two = get_algorithm(first), get_algorithm(second)
    states = [(one.state_dict(), two.state_dict()), (one.cluster_state(), two.cluster_state())]
    for left, right in states:
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert torch.equal(value, right[name]), name


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return run(folder), folder


@pytest.mark.parametrize(("workers", "number"), [(0, signal.SIGTERM), (2, signal.SIGUSR1)])
def test_a_signal_inside_an_epoch(straight, tmp_path, workers, number):
    # iteration 9 is the fourth of six of the second epoch
    options = {"train_dataloader.num_workers": workers}
    message = interrupt(tmp_path, 9, number, **options)
    assert f"{number.name}, saved {tmp_path / 'iter_10.pth'}; --resume continues" in message
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_10.pth")
    resumed = run(tmp_path, resume=True, **options)
    assert_same(straight[0], resumed)
    assert losses(tmp_path) == losses(straight[1])
    # handlers are given back
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_in_the_last_iteration_of_an_epoch(straight, tmp_path):
    length = len(straight[0].train_dataloader)
    message = interrupt(tmp_path, length - 1, **{"default_hooks.checkpoint.interval": 100})
    assert "epoch_1.pth" in message
    assert_same(straight[0], run(tmp_path, resume=True))


@pytest.mark.slow
def test_two_signals_inside_one_epoch(straight, tmp_path):
    interrupt(tmp_path, 7)
    hook = {"type": "SignalAt", "iteration": 9}
    with pytest.raises(TrainingInterruptedError, match=r"iter_10.pth"):
        run(tmp_path, resume=True, custom_hooks=[hook])
    assert_same(straight[0], run(tmp_path, resume=True))


def test_another_batch_size_goes_on_at_the_epoch(straight, tmp_path):
    interrupt(tmp_path, 9)
    resumed = run(tmp_path, resume=True, **{"train_dataloader.batch_size": 128})
    log = next(iter(sorted(tmp_path.glob("*/*.log"))[-1:])).read_text()
    assert "batch_size 256 -> 128" in log
    assert "at the start of epoch 2, whose first 4 iterations are done again" in log
    assert resumed.epoch == 4 and resumed.iter == 4 * len(resumed.train_dataloader)
    rates = {group["lr"] for group in resumed.optim_wrapper.optimizer.param_groups}
    expected = {group["lr"] for group in straight[0].optim_wrapper.optimizer.param_groups}
    assert rates == expected


def test_schedules_are_run_up_to_the_epoch(tmp_path):
    # a schedule of iterations, whose number changes with the batch
    cosine = {"param_scheduler": [{"type": "CosineAnnealingLR", "convert_to_iter_based": True}]}
    half = {"train_dataloader.batch_size": 128}
    whole = run(tmp_path / "whole", **cosine, **half)
    rates = []

    @HOOKS.register_module(force=True)
    class KeepRates(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            rates.append(runner.optim_wrapper.optimizer.param_groups[0]["lr"])

    interrupt(tmp_path / "parts", 11, **cosine)
    keep = {"custom_hooks": [{"type": "KeepRates"}]}
    run(tmp_path / "parts", resume=True, **cosine, **half, **keep)
    resumed = rates.copy()
    rates.clear()
    run(tmp_path / "again", **cosine, **half, **keep)
    length = len(whole.train_dataloader)
    assert resumed == pytest.approx(rates[2 * length :])
