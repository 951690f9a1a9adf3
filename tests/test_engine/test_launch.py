"""Joining processes: what each launcher says, and what is refused."""

import sys
from pathlib import Path

import pytest
from conftest_engine import DIGITS

from mmdeepcluster.engine import LAUNCHERS, ConfigError, join_processes
from mmdeepcluster.engine import launch as module
from mmdeepcluster.engine.launch import start_processes


@pytest.fixture
def started(monkeypatch):
    """The environment and back end that a group would be started with."""
    found = {}

    def start(backend, timeout):
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        found.update({name: module.os.environ.get(name) for name in names})
        found.update(backend=backend, timeout=timeout.total_seconds())

    monkeypatch.setattr(module.torch_dist, "init_process_group", start)
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return found


def test_slurm(started, monkeypatch, tmp_path):
    for name, value in {"PROCID": "5", "NTASKS": "16", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[3-4]")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\nprintf 'node3\\nnode4\\n'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    start_processes("slurm")
    assert started == {
        "RANK": "5",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "node3",
        "MASTER_PORT": "29500",
        "backend": "gloo",
        "timeout": 3600.0,
    }


def test_mpi_needs_an_address(started, monkeypatch):
    for name, value in {"RANK": "0", "SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    with pytest.raises(ConfigError, match="set MASTER_ADDR to the machine of rank 0"):
        start_processes("mpi")
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    start_processes("mpi")
    assert started["WORLD_SIZE"] == "2" and started["MASTER_ADDR"] == "10.0.0.1"


def test_options_of_the_config(started, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    join_processes(DIGITS, "pytorch", {"env_cfg.dist_cfg": {"timeout": 60}})
    assert started["timeout"] == 60 and started["RANK"] == "1"
    with pytest.raises(ConfigError, match=r"env_cfg.dist_cfg.timeot: unknown key"):
        join_processes(DIGITS, "pytorch", {"env_cfg.dist_cfg": {"timeot": 60}})


def test_refusals(started, monkeypatch):
    with pytest.raises(ConfigError, match="--launcher must be one of none, pytorch, slurm, mpi"):
        start_processes("torchrun")
    with pytest.raises(ConfigError, match=r"--launcher pytorch: RANK, .* not set; start it by"):
        start_processes("pytorch")
    for name, value in {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="process 3 of this machine has no GPU, there are 2"):
        start_processes("pytorch")
    assert not started
    monkeypatch.setattr(module.torch.cuda, "device_count", lambda: 1)
    assert module._gpu("slurm", 3) == 0  # a task that sees its own GPU alone


def test_tools_offer_the_launchers(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    sys.modules.pop("_cli", None)
    import _cli

    assert _cli.LAUNCHERS == LAUNCHERS
