"""tools/dist_train.sh and dist_test.sh on two CPU processes, as a user runs them (R71)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tool_runs import ROOT, run_here, start_script

DIGITS = "configs/odc/odc_lenet5_digits.py"
FAST = [
    "default_hooks.clustering.label_warmup=0",
    "default_hooks.cluster_metrics.save_labels_interval=1",
    "train_dataloader.num_workers=1",
]


def start(tool, *arguments, **environment):
    return start_script([ROOT / "tools" / tool, *arguments], **environment)


def test_stopped_and_resumed(tmp_path):
    work_dir = tmp_path / "run"
    options = [DIGITS, 2, "--work-dir", work_dir, "--resume", "--cfg-options", *FAST]
    running = start("dist_train.sh", *options, "train_cfg.max_epochs=2000")
    while not (work_dir / "labels_epoch_2.npy").exists():
        assert running.poll() is None, running.communicate()[0][-3000:]
        time.sleep(0.1)
    # as a cluster does; torchrun hands it to the whole process group
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=60)
    assert "[rank 1] stopped by SIGTERM, saved" in output, output[-3000:]
    saved = Path((work_dir / "last_checkpoint").read_text())
    last = torch.load(saved, weights_only=True)["meta"]["epoch"] + 2

    running = start("dist_train.sh", *options, f"train_cfg.max_epochs={last}")
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0, output[-3000:]
    assert f"resumed {saved} at epoch" in output
    assert "2 processes, each cpu" in output
    assert output.count("k-NN accuracy") == 1  # the main process alone speaks


@pytest.mark.slow
def test_measured(tmp_path):
    short = ["train_cfg.max_epochs=2", "default_hooks.clustering.label_warmup=0"]
    running = start("dist_train.sh", DIGITS, 2, "--work-dir", tmp_path, "--cfg-options", *short)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output[-3000:]
    out = tmp_path / "metrics.json"
    running = start("dist_test.sh", DIGITS, tmp_path / "epoch_2.pth", 2, "--out", out)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output[-3000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert json.loads(out.read_text())["memory"] == report["memory"]


def test_a_process_that_dies_ends_the_others(tmp_path):
    (tmp_path / "die.py").write_text(
        "import os, signal\n"
        "from mmengine.dist import get_rank\n"
        "from mmengine.hooks import Hook\n"
        "from mmdeepcluster.registry import HOOKS\n"
        "@HOOKS.register_module()\n"
        "class Die(Hook):\n"
        "    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):\n"
        "        if get_rank() == 1 and runner.iter == 5:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = {str(ROOT / DIGITS)!r}\n"
        "custom_imports = dict(imports=['die'])\n"
        "custom_hooks = [dict(type='Die')]\n"
    )
    begin = time.perf_counter()
    running = start(
        "dist_train.sh", config, 2, "--work-dir", tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}"
    )
    output, _ = running.communicate(timeout=100)
    assert running.returncode != 0
    assert time.perf_counter() - begin < 60
    assert "exitcode  : -9" in output and "rank      : 1" in output


def test_torchrun_without_a_launcher_is_refused(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    last = run_here("train.py", DIGITS)
    assert "torchrun started 2 processes but each would train alone" in last


@pytest.mark.slow
def test_torchrun_itself_without_a_launcher_is_refused():
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "tools/train.py", DIGITS]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert result.returncode != 0
    assert "torchrun started 2 processes but each would train alone" in result.stderr


def test_scripts_say_how_they_are_used():
    for tool in ("dist_train.sh", "dist_test.sh", "dist_extract.sh", "slurm_train.sh"):
        running = start(tool, "only-one-argument")
        output, _ = running.communicate(timeout=10)
        assert running.returncode == 2 and output.startswith("usage: ")


def test_slurm_script_starts_one_process_a_gpu(tmp_path):
    fake = tmp_path / "srun"
    fake.write_text('#!/bin/sh\necho "$MASTER_PORT" "$@"\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "GPUS": "4"}
    running = start("slurm_train.sh", "gpu", "job", DIGITS, "--resume", **environment)
    output, _ = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "--partition=gpu --job-name=job --ntasks=4 --ntasks-per-node=4 --gres=gpu:4" in output
    assert "--kill-on-bad-exit=1 --signal=USR1@60" in output
    assert output.split("python -u ")[1].split()[1:] == [
        DIGITS,
        "--launcher",
        "slurm",
        "--resume",
    ]
