"""DESIGN 3.3: killed at any instant, the newest complete checkpoint is intact and continues."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest_engine import DIGITS, FAST
from mmengine.hooks import Hook

from mmdeepcluster.apis import train
from mmdeepcluster.engine import TrainingError, find_last_checkpoint, read_checkpoint
from mmdeepcluster.engine import checkpoint_io as io
from mmdeepcluster.engine.hooks import EpochCheckpointHook, checkpoint_hook
from mmdeepcluster.engine.stop_request import StopRequest
from mmdeepcluster.registry import HOOKS

ROOT = Path(__file__).parents[2]


class FakeRunner:
    """As much of a runner as the hook that saves needs."""

    def __init__(self, work_dir):
        self.work_dir, self.iter, self.experiment_name = str(work_dir), 0, "faults"
        self.hook_state, self.stop_request = {}, StopRequest()
        self.logger = SimpleNamespace(warning=print, info=print)

    def save_checkpoint(self, folder, name, meta):
        data = {"meta": meta, "hook_state": self.hook_state, "rows": torch.full((1000,), self.iter)}
        io.write_atomically(Path(folder) / name, data)


def save_epochs(work_dir, last):
    runner, hook = FakeRunner(work_dir), EpochCheckpointHook(max_keep_ckpts=1)
    hook.before_train(runner)
    for epoch in range(1, last + 1):
        runner.iter = 10 * epoch
        hook._save_epoch(runner, epoch)


# Named steps of saving, where to find them, and what is newest when killed before and after.
STEPS = {
    "write": (io, "_serialize", 2, 2),
    "fsync": (os, "fsync", 2, 2),
    "rename": (Path, "replace", 2, 3),
    "pointer": (checkpoint_hook, "move_pointer", 3, 3),
    "prune": (checkpoint_hook, "prune", 3, 3),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_of_saving(tmp_path, step, when):
    # The third save dies; epoch 2 is what it must not lose.
    owner, name, newest_before, newest_after = STEPS[step]
    child = os.fork()
    if child == 0:
        try:
            save_epochs(tmp_path, 2)
            original = getattr(owner, name)

            def deadly(*args, **kwargs):
                if when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                original(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(owner, name, deadly)
            runner, hook = FakeRunner(tmp_path), EpochCheckpointHook(max_keep_ckpts=1)
            path = find_last_checkpoint(tmp_path)
            runner.hook_state, runner.iter = read_checkpoint(path)["hook_state"], 30
            hook._save_epoch(runner, 3)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    epoch = newest_before if when == "before" else newest_after
    found = find_last_checkpoint(tmp_path)
    assert found.name == f"epoch_{epoch}.pth"
    assert torch.equal(read_checkpoint(found)["rows"], torch.full((1000,), 10 * epoch))
    # the next start clears up
    EpochCheckpointHook().before_train(FakeRunner(tmp_path))
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))


def run(work_dir, resume=False, **options):
    options = FAST | {"train_cfg.max_epochs": 3} | options
    return train(DIGITS, work_dir=work_dir, resume=resume, options=options)


@HOOKS.register_module()
class FullDisk(Hook):
    """Lets files grow no further than half a megabyte from the second epoch on."""

    priority = "HIGHEST"

    def after_train_epoch(self, runner):
        if runner.epoch == 1:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(TrainingError) as failed:
            run(tmp_path, custom_hooks=[{"type": "FullDisk"}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert f"cannot save {tmp_path / 'epoch_2.pth'}: " in str(failed.value)
    assert os.strerror(errno.EFBIG) in str(failed.value)
    assert f"{tmp_path / 'epoch_1.pth'} is intact, --resume continues from it" in str(failed.value)
    assert sorted(path.name for path in tmp_path.glob("*epoch*")) == ["epoch_1.pth"]
    assert run(tmp_path, resume=True).epoch == 3


def test_resume_goes_back_to_the_newest_good_file(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(io, "print_log", lambda text, *rest: said.append(text))
    run(tmp_path)
    newest = tmp_path / "epoch_3.pth"
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert run(tmp_path, resume=True).epoch == 3
    assert "epoch_3.pth cannot be read: it is damaged" in said[0]
    assert f"going back to {tmp_path / 'epoch_2.pth'}, the newest that can be read" in said[0]
    log = max(tmp_path.glob("*/*.log")).read_text()
    assert f"resumed {tmp_path / 'epoch_2.pth'} at epoch 2" in log


@pytest.mark.slow
def test_twenty_kills_at_random(tmp_path):
    # R13: whatever the instant, each --resume goes on from the newest complete checkpoint
    command = [sys.executable, str(ROOT / "tools" / "train.py"), str(DIGITS), "--resume"]
    command += ["--work-dir", str(tmp_path), "--cfg-options", "train_cfg.max_epochs=2000"]
    command += ["default_hooks.checkpoint.interval=1", "default_hooks.clustering.label_warmup=0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(20):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        start = read_iteration(tmp_path)
        while read_iteration(tmp_path) <= start:  # it goes on from there
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 2))
        process.kill()
        process.wait()
        iteration = read_iteration(tmp_path)
        assert iteration >= max(reached, start)
        reached = iteration


def read_iteration(work_dir):
    path = find_last_checkpoint(work_dir)
    return -1 if path is None else read_checkpoint(path)["meta"]["iter"]


def test_a_signal_that_comes_while_the_processes_agree_is_for_the_next_time(monkeypatch):
    request = StopRequest()

    def agree(number):
        signal.raise_signal(signal.SIGUSR1)
        return number

    name = "mmdeepcluster.engine.stop_request.agree_on_largest"
    with request.listening():
        monkeypatch.setattr(name, agree)
        assert request.agreed() == 0  # as the other process, which was sent none
        monkeypatch.setattr(name, lambda number: number)
        assert request.noted and request.agreed() == signal.SIGUSR1
