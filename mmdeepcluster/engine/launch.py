"""Joining the processes of a training: NCCL on GPUs, gloo on CPUs.

MMEngine 0.10.7's launchers select a CUDA device before they start the group, which fails on a
machine without one.
"""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size, is_distributed

from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.resolve_config import load_config, merge_options

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
# Where each launcher says rank, number of processes, and rank on this machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
# Where they say how many processes there are on this machine, as torchrun does in LOCAL_WORLD_SIZE.
_LOCAL_SIZES = {"slurm": "SLURM_NTASKS_PER_NODE", "mpi": "OMPI_COMM_WORLD_LOCAL_SIZE"}
_DEFAULT_PORT = "29500"
# Processes wait this long for each other. The main one may cluster or evaluate meanwhile; a
# process that dies is noticed by the launcher long before.
DEFAULT_TIMEOUT_S = 3600.0

_control_group: Any = None


def join_processes(
    config: str | Path | Config, launcher: str, options: Mapping[str, Any] | None = None
) -> None:
    """As :func:`start_processes`, with ``launcher`` and ``env_cfg.dist_cfg`` of a config.

    Raises:
        ConfigError: As there, or for an unknown key.
    """
    cfg = load_config(config)
    merge_options(cfg, options or {})
    wanted = dict((cfg.get("env_cfg") or {}).get("dist_cfg") or {})
    unknown = wanted.keys() - {"backend", "timeout"}
    if unknown:
        raise ConfigError(
            f"env_cfg.dist_cfg.{sorted(unknown)[0]}: unknown key, known: backend, timeout"
        )
    start_processes(launcher if launcher != "none" else cfg.get("launcher", "none"), **wanted)


def start_processes(
    launcher: str, backend: str | None = None, timeout: float = DEFAULT_TIMEOUT_S
) -> None:
    """Joins the group that a launcher started this process for; ``none`` and one do nothing.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` (srun) or ``mpi`` (mpirun).
        backend: ``nccl`` or ``gloo``. Defaults to what fits the machine.
        timeout: Seconds that processes wait for each other (``env_cfg.dist_cfg.timeout``).

    Raises:
        ConfigError: If the launcher is unknown or did not start this process, or there are more
            processes than GPUs.
    """
    global _control_group
    if launcher not in LAUNCHERS:
        raise ConfigError(f"--launcher must be one of {', '.join(LAUNCHERS)}, got '{launcher}'")
    if launcher == "none":
        _refuse_lonely_torchrun(os.environ)
        return
    if is_distributed():
        return
    rank, world_size, local_rank = _place(launcher, os.environ)
    os.environ |= {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": local_rank}
    if launcher != "pytorch":
        os.environ.setdefault("MASTER_PORT", _DEFAULT_PORT)
        if _LOCAL_SIZES[launcher] in os.environ:
            os.environ.setdefault("LOCAL_WORLD_SIZE", os.environ[_LOCAL_SIZES[launcher]])
        if "MASTER_ADDR" not in os.environ:
            os.environ["MASTER_ADDR"] = _first_host(launcher)
    backend = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    if backend == "nccl":
        torch.cuda.set_device(_gpu(launcher, int(local_rank)))
    wait = datetime.timedelta(seconds=timeout)
    torch_dist.init_process_group(backend, timeout=wait)
    # What processes agree on between iterations must not wait for a GPU.
    if backend != "gloo":
        _control_group = torch_dist.new_group(backend="gloo", timeout=wait)


def leave_processes() -> None:
    """Leaves the group, if this process is in one."""
    global _control_group
    _control_group = None
    if is_distributed():
        torch_dist.destroy_process_group()


def agree_on_largest(value: int) -> int:
    """The largest of the values of all processes, without waiting for a GPU; collective."""
    if get_world_size() == 1:
        return value
    number = torch.tensor([value])
    torch_dist.all_reduce(number, torch_dist.ReduceOp.MAX, group=_control_group)
    return int(number)


def from_main(value: Any) -> Any:
    """The main process's value, on every process; collective."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def _gpu(launcher: str, local_rank: int) -> int:
    """Index of the GPU of this process."""
    num_gpus = torch.cuda.device_count()
    if num_gpus == 1 and launcher != "pytorch":
        return 0  # Slurm may show each process its own alone
    if local_rank >= num_gpus:
        raise ConfigError(
            f"process {local_rank + 1} of this machine has no GPU, there are {num_gpus}: start one "
            "process per GPU, or CUDA_VISIBLE_DEVICES= for processes on the CPU"
        )
    return local_rank


def _place(launcher: str, environment: Mapping[str, str]) -> tuple[str, str, str]:
    names = _VARIABLES[launcher]
    missing = [name for name in names if name not in environment]
    if missing:
        starter = {"pytorch": "torchrun (tools/dist_train.sh)", "slurm": "srun", "mpi": "mpirun"}
        raise ConfigError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start it by {starter[launcher]}"
        )
    rank, world_size, local_rank = (environment[name] for name in names)
    return rank, world_size, local_rank


def _first_host(launcher: str) -> str:
    """The machine of rank 0 of a Slurm job; mpirun does not tell it."""
    nodes = os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("SLURM_NODELIST")
    if launcher != "slurm" or nodes is None:
        raise ConfigError(f"--launcher {launcher}: set MASTER_ADDR to the machine of rank 0")
    command = ["scontrol", "show", "hostnames", nodes]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return found.stdout.split()[0]


def _refuse_lonely_torchrun(environment: Mapping[str, str]) -> None:
    processes = int(environment.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" in environment and processes > 1:
        raise ConfigError(
            f"torchrun started {processes} processes but each would train alone: add "
            "--launcher pytorch, or use tools/dist_train.sh"
        )
