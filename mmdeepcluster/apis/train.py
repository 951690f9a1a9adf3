"""Training in one call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmdeepcluster.apis.run_reports import write_report
from mmdeepcluster.engine import (
    ConfigError,
    DeepClusterRunner,
    ResolvedConfig,
    build_runner,
    cpu_has_bfloat16,
    default_work_dir,
    describe,
    find_last_checkpoint,
    join_processes,
    load_config,
    resolve_config,
    share_cores,
    warn_if_short,
    write_left_out,
)
from mmdeepcluster.engine.hooks import ReportHook


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = "none",
    options: Mapping[str, Any] | None = None,
) -> DeepClusterRunner:
    """Trains a config to its end and reports how good the result is.

    Args:
        config: Config file or config.
        work_dir: Where results go. Defaults to ``work_dir`` of the config, then to
            ``work_dirs/<config stem>``.
        resume: True continues from the newest checkpoint in ``work_dir``, a path from that file.
        amp: Mixed precision: bfloat16 where the device has it, otherwise float16 on a GPU.
        auto_scale_lr: Scale the learning rate to the batch size.
        launcher: What started this process, where there are several: ``pytorch`` (torchrun),
            ``slurm`` or ``mpi``. Each process makes the same call.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        The runner, its training finished.

    Raises:
        ConfigError: If the config, the data or a checkpoint cannot be used.
        TrainingError: If the training diverged, or a checkpoint cannot be written.
        TrainingInterruptedError: If a signal asked for the end; a checkpoint was saved.
    """
    resolved = prepare_training(
        config,
        work_dir=work_dir,
        resume=resume,
        amp=amp,
        auto_scale_lr=auto_scale_lr,
        launcher=launcher,
        options=options,
    )
    runner = build_runner(resolved)
    share_cores(runner.train_dataloader)
    runner.logger.info(describe(resolved, runner))
    warn_if_short(runner)
    _write_unreadable(resolved)
    runner.train()
    _write_page(resolved, runner)
    return runner


def prepare_training(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = "none",
    options: Mapping[str, Any] | None = None,
) -> ResolvedConfig:
    """Everything of :func:`train` that comes before the runner; same arguments."""
    if not resume:
        _check_load_from(config, options or {})
    join_processes(config, launcher, options)
    resolved = resolve_config(config, options)
    cfg = resolved.cfg
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get("work_dir") is None:
        if cfg.filename is None:
            raise ConfigError("work_dir: a config that is no file needs one")
        cfg.work_dir = default_work_dir(cfg.filename)
    if resume:
        _use_checkpoint(cfg, None if isinstance(resume, bool) else resume)
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        if "base_batch_size" not in (cfg.get("auto_scale_lr") or {}):
            raise ConfigError("--auto-scale-lr: the config has no auto_scale_lr.base_batch_size")
        cfg.auto_scale_lr.enable = True
    return resolved


def _check_load_from(config: str | Path | Config, options: Mapping[str, Any]) -> None:
    """Refuses weights that are not there before the images are looked at."""
    wanted = options.get("load_from", load_config(config).get("load_from"))
    if wanted and not Path(wanted).is_file():
        raise ConfigError(
            f"load_from={wanted}: there is no such file; name the weights to start from by "
            "--cfg-options load_from=FILE"
        )


def _use_checkpoint(cfg: Config, checkpoint: str | Path | None) -> None:
    """Continues from a checkpoint, by default the newest in the work dir.

    Where there is none yet, the run starts as configured, ``load_from`` included, so that the
    same command can be queued again and again.
    """
    found = checkpoint or find_last_checkpoint(cfg.work_dir)
    if found is None:
        print_log(
            f"--resume: no checkpoint in {cfg.work_dir}, starting at epoch 0",
            "current",
            logging.WARNING,
        )
        return
    cfg.resume = True
    cfg.load_from = str(found)


def _write_unreadable(resolved: ResolvedConfig) -> None:
    """Lists the images that were left out, and why, for the person who has to look at them."""
    if is_main_process():
        write_left_out(Path(resolved.cfg.work_dir) / "unreadable.txt", resolved.dataset)


def _write_page(resolved: ResolvedConfig, runner: DeepClusterRunner) -> None:
    """Writes ``report.html`` where ``default_hooks.report.page`` asks for it."""
    wanted = any(isinstance(hook, ReportHook) and hook.page for hook in runner.hooks)
    if wanted and is_main_process():
        write_report(resolved.cfg.work_dir, dataset=resolved.dataset)


def _use_amp(cfg: Config) -> None:
    """Chooses the precision of the device and says so."""
    kind = cfg.optim_wrapper.get("type", "OptimWrapper")
    if kind in ("AmpOptimWrapper", "BFloat16OptimWrapper"):
        print_log(f"--amp: optim_wrapper.type is {kind} already", "current", logging.WARNING)
        return
    if kind != "OptimWrapper":
        raise ConfigError(f"--amp: optim_wrapper.type must be 'OptimWrapper', got '{kind}'")
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.loss_scale = "dynamic"
        print_log("--amp: float16, this GPU has no bfloat16", "current")
        return
    cfg.optim_wrapper.type = "BFloat16OptimWrapper"
    if torch.cuda.is_available() or cpu_has_bfloat16():
        print_log("--amp: bfloat16", "current")
    else:
        print_log(
            "--amp: bfloat16, but this CPU does not multiply it in hardware: slower than without",
            "current",
            logging.WARNING,
        )
