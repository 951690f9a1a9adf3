"""Hooks in themselves: deferred scalars, seeds, rows of the optimizer, the watchdog's rules."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from mmdeepcluster.datasets import Digits, ImageView, build_eval_loader, build_train_loader
from mmdeepcluster.engine.hooks import (
    ClusterMetricsHook,
    CollapseWatchdogHook,
    DeferredScalarsHook,
    EpochCheckpointHook,
    EpochSeedHook,
    IterationLoggerHook,
    OnlineClusteringHook,
)
from mmdeepcluster.engine.hooks.online_clustering_hook import reset_optimizer_row
from mmdeepcluster.engine.hooks.scalars_hook import update_capped
from mmdeepcluster.engine.seeding import derive_seed
from mmdeepcluster.engine.threads import all_cores, cores_of_pass, share_cores

ROOT = Path(__file__).parents[2]


def test_scalars_are_read_at_the_log_interval_alone():
    hub = MessageHub("test_scalars_are_read_at_the_log_interval_alone")
    runner = SimpleNamespace(
        hooks=[IterationLoggerHook(interval=3)],
        message_hub=hub,
        iter=0,
        train_dataloader=range(100),
        optim_wrapper=SimpleNamespace(get_lr=lambda: {"lr": [0.5]}),
    )
    hook = DeferredScalarsHook()
    hook._interval = 3
    for number in range(5):
        runner.iter = number
        outputs = {"loss": torch.tensor(float(number)), "health/bad_rows": 1}
        hook.after_train_iter(runner, number, outputs=outputs)
        seen = hub.log_scalars.get("train/loss")
        assert (0 if seen is None else len(seen.data[0])) == 3 * ((number + 1) // 3)
    assert hub.get_scalar("train/loss").data[0].tolist() == [0.0, 1.0, 2.0]
    assert hub.get_scalar("health/bad_rows").data[0].tolist() == [1.0] * 3
    assert hub.get_scalar("train/lr").current() == 0.5


def test_history_does_not_grow_without_bound(monkeypatch):
    import mmdeepcluster.engine.hooks.scalars_hook as module

    monkeypatch.setattr(module, "HISTORY_LENGTH", 10)
    hub = MessageHub("test_history_does_not_grow_without_bound")
    for number in range(25):
        update_capped(hub, "train/x", number)
    assert hub.get_scalar("train/x").data[0].tolist() == list(range(15, 25))


def test_optimizer_forgets_a_row():
    layer = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.randn(2, 3)).sum().backward()
    optimizer.step()
    reset_optimizer_row(optimizer, layer.weight, 2)
    buffer = optimizer.state[layer.weight]["momentum_buffer"]
    assert (buffer[2] == 0).all() and (buffer[[0, 1, 3]] != 0).any(dim=1).all()


def test_seeds_of_purposes_and_positions_differ_and_repeat():
    seeds = {
        derive_seed(seed, purpose, position)
        for seed in range(5)
        for purpose in ("epoch", "fill")
        for position in range(20)
    }
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(3, "epoch", 7, 0) == derive_seed(3, "epoch", 7, 0)


def test_an_epoch_draws_the_same_whatever_came_before():
    runner = SimpleNamespace(seed=4, epoch=2)
    draws = []
    for wasted in (0, 17):
        torch.rand(wasted)
        EpochSeedHook().before_train_epoch(runner)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    ("hook", "options", "message"),
    [
        (
            OnlineClusteringHook,
            {"loader": None, "calibration_passes": -1},
            r"calibration_passes must be >= 0",
        ),
        (OnlineClusteringHook, {"loader": None, "label_warmup": -1}, r"label_warmup must be >= 0"),
        (ClusterMetricsHook, {"interval": 0}, r"cluster_metrics.interval must be >= 1, got 0"),
        (EpochCheckpointHook, {"interval": 0}, r"checkpoint.interval must be at least 1 epoch"),
        (EpochCheckpointHook, {"max_keep_ckpts": 0}, r"max_keep_ckpts must be at least 1, or -1"),
        (CollapseWatchdogHook, {"action": "beep"}, r"action must be 'warn' or 'stop', got 'beep'"),
    ],
)
def test_options_out_of_range(hook, options, message):
    with pytest.raises(ValueError, match=message):
        hook(**options)


def test_progress_is_shown_on_a_terminal_and_log_lines_stay_whole(tmp_path):
    leader, follower = pty.openpty()
    options = ["train_cfg.max_epochs=2", "train_dataloader.num_workers=0"]
    options += ["default_hooks.clustering.calibration_passes=0", "default_hooks.logger.interval=5"]
    command = ["tools/train.py", "configs/odc/odc_lenet5_digits.py", "--work-dir", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, *command, "--cfg-options", *options],
        cwd=ROOT,
        stdout=follower,
        stderr=follower,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(follower)
    output = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        output += piece
    os.close(leader)
    assert process.wait() == 0
    text = output.decode(errors="replace")
    assert "epoch 2/2" in text and "loss" in text
    lines = [line for line in text.splitlines() if "Epoch(train)" in line]
    assert lines and all("loss:" in line for line in lines)
    assert "k-NN accuracy" in text


class TestCores:
    @pytest.fixture(autouse=True)
    def restore(self):
        before = torch.get_num_threads()
        yield
        torch.set_num_threads(before)

    @pytest.mark.parametrize(("cores", "threads"), [(8, 6), (2, 1), (1, 1)])
    def test_data_workers_get_theirs(self, monkeypatch, cores, threads):
        monkeypatch.setattr("mmdeepcluster.engine.threads.default_num_threads", lambda: cores)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        share_cores()
        assert torch.get_num_threads() == threads

    def test_a_clustering_gets_all(self, monkeypatch):
        monkeypatch.setattr("mmdeepcluster.engine.threads.default_num_threads", lambda: 4)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        share_cores()
        with all_cores():
            assert torch.get_num_threads() == 4
        assert torch.get_num_threads() == 2
        monkeypatch.setattr("mmdeepcluster.engine.threads.get_world_size", lambda: 2)
        with all_cores():
            assert torch.get_num_threads() == 2

    def test_nothing_is_left_for_workers_that_are_not_there(self, monkeypatch):
        """Held images, and a pass over images that are an array, are loaded by nobody."""
        monkeypatch.setattr("mmdeepcluster.engine.threads.default_num_threads", lambda: 4)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        digits, steps = Digits("train"), [dict(type="PILToTensor")]
        whole = ImageView(digits, steps)
        resized = ImageView(digits, [dict(type="Resize", size=12), *steps])
        options = {"batch_size": 64, "num_workers": 0}
        held = build_train_loader(whole, seed=0, transforms="device", **options)
        share_cores(held)
        assert torch.get_num_threads() == 4
        share_cores(build_train_loader(whole, seed=0, **options))
        assert torch.get_num_threads() == 2
        for view, threads in ((whole, 4), (resized, 2)):
            with cores_of_pass(build_eval_loader(view, **options)):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2

    def test_the_word_of_the_user_stands(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        torch.set_num_threads(3)
        share_cores()
        assert torch.get_num_threads() == 3
        with all_cores():
            assert torch.get_num_threads() == 3
