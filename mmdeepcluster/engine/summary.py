"""What the user sees before training starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from torch.utils.data import DataLoader

from mmdeepcluster.engine.resolve_config import ResolvedConfig

# The shortest training that was seen to improve on its first clusters (the digits) has 2,300.
MIN_ITERATIONS = 2000


def describe(resolved: ResolvedConfig, runner: Any) -> str:
    """A few lines on data, clusters, network and device."""
    cfg, dataset = resolved.cfg, resolved.dataset
    model = cfg.model
    labels = dataset.eval_labels
    known = "no known labels" if labels is None else f"{len(np.unique(labels))} known classes"
    parameters = sum(p.numel() for p in runner.model.parameters())
    size = (model.get("memory") or {}).get("min_cluster_size")
    each = " on each process" if runner.world_size > 1 else ""
    processes = f"{runner.world_size} processes, each " if runner.world_size > 1 else ""
    lines = [
        f"data      {dataset!r}: {len(dataset)} images, {known} (for evaluation alone)",
        f"clusters  {model.num_clusters} of about {len(dataset) / model.num_clusters:.0f} images"
        + (f", none below {size}" if size else ""),
        f"model     {model.type}, {model.backbone.type}, {parameters / 1e6:.2f} M parameters",
        f"training  {runner.max_epochs} epochs of {len(runner.train_dataloader)} iterations, "
        f"batches of up to {cfg.train_dataloader.batch_size}{each}, seed {runner.seed}",
        f"device    {processes}{get_device()}, {torch.get_num_threads()} threads, "
        + _loading(runner.train_dataloader),
        f"results   {runner.work_dir}",
    ]
    if dataset.num_unreadable:
        lines.insert(1, f"left out  {dataset.num_unreadable} unreadable images")
    return "\n".join(["", *lines])


def _loading(loader: Any) -> str:
    """How batches are made."""
    if isinstance(loader, DataLoader):
        return f"{loader.num_workers} data workers"
    return str(loader.loading)


def warn_if_short(runner: Any) -> None:
    """Says so when a training has too few iterations for clusters and features to move."""
    if runner.max_iters < MIN_ITERATIONS:
        runner.logger.warning(
            f"{runner.max_iters} iterations are few: below about {MIN_ITERATIONS} expect little "
            "more than the first clusters; raise train_cfg.max_epochs to "
            f"{-(-MIN_ITERATIONS // len(runner.train_dataloader))} or more, or lower "
            "train_dataloader.batch_size"
        )
