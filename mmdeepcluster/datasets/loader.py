"""Data loaders for training and for evaluation.

Both hand out ``dict(inputs, sample_idx)`` with ``inputs`` of shape (B, C, H, W) and
``sample_idx`` int64 of shape (B,). Both have a generator of their own: a DataLoader draws a base
seed at each start, which would otherwise move torch's global generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from mmdeepcluster.datasets.array_view import collate, in_batches
from mmdeepcluster.datasets.data_worker import begin_worker
from mmdeepcluster.datasets.device_loader import (
    DEFAULT_LIMIT,
    HeldLoader,
    WorkerLoader,
    build_device_loader,
)
from mmdeepcluster.datasets.image_view import ImageView
from mmdeepcluster.datasets.kept_view import kept
from mmdeepcluster.datasets.samplers import BalancedBatchSampler, DealtBatchSampler
from mmdeepcluster.registry import DATA_SAMPLERS

TRANSFORM_BACKENDS = ("torchvision", "opencv", "device")


def build_train_loader(
    view: ImageView,
    *,
    batch_size: int,
    num_workers: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    sampler: Mapping[str, Any] | None = None,
    prefetch_factor: int | None = None,
    pin_memory: bool = False,
    persistent_workers: bool = True,
    transforms: str = "torchvision",
    in_memory_limit: int | None = None,
    device: str = "cpu",
) -> DataLoader[dict[str, Any]] | HeldLoader | WorkerLoader:
    """Builds the loader of this rank's draws, shuffled, augmented and in balanced batches.

    The batches are the same bit for bit with any number of workers. MMEngine's
    ``DistSamplerSeedHook`` finds ``set_epoch`` at ``loader.batch_sampler.sampler``.

    Args:
        view: the data set through the training pipeline.
        batch_size: largest number of samples in a batch, of this process.
        num_workers: data worker processes; 0 loads in this process.
        seed: seed of the run: partition, order and augmentation follow from it.
        rank: number of this process.
        world_size: number of processes.
        sampler: config of the sampler. Defaults to ``OwnerSampler``, each sample once an epoch.
        prefetch_factor: batches that each worker loads ahead. Defaults to None, torch's 2.
        pin_memory: hand out page-locked tensors, for faster copies to a GPU; without CUDA there
            is nothing to lock for and it has no effect. Defaults to False.
        persistent_workers: keep the workers between epochs. Defaults to True.
        transforms: who executes the pipeline. ``torchvision`` and ``opencv``: the data workers,
            image by image, as the view does it (:class:`OpenCVView` for the latter).
            ``device``: the device of the network, batch by batch, with the same distributions and
            other random numbers; changes results. Defaults to ``torchvision``.
        in_memory_limit: with ``device``, data sets whose images have one shape and take at most
            this many bytes are held as one tensor, in the memory of the device, and need no data
            workers. Of others the workers make the steps up to the first one that fixes the size,
            with torchvision's random numbers, so it may change results. Defaults to None, 1 GiB.
        device: device of the network.

    Returns:
        A loader of ceil(ceil(N / W) / batch_size) batches.

    Raises:
        ValueError: ``batch_size`` is less than 1, there are fewer samples than processes, an
            unknown value of ``transforms``, or ``device`` cannot execute the pipeline.
    """
    if transforms not in TRANSFORM_BACKENDS:
        raise ValueError(
            f"train_dataloader.transforms must be one of {TRANSFORM_BACKENDS}, got {transforms!r}"
        )
    if in_memory_limit is not None and transforms != "device":
        raise ValueError(
            f"train_dataloader.in_memory_limit={in_memory_limit} is of "
            "train_dataloader.transforms='device': set it, or leave the limit out"
        )
    position = {"num_samples": len(view), "seed": seed, "rank": rank, "world_size": world_size}
    draws = DATA_SAMPLERS.build({"type": "OwnerSampler", **(sampler or {}), **position})
    batches = BalancedBatchSampler(draws, batch_size)
    options = {
        "generator": torch.Generator().manual_seed(seed),
        "pin_memory": pin_memory and torch.cuda.is_available(),
        **_worker_options(num_workers, prefetch_factor, persistent_workers),
    }
    if transforms == "device":
        limit = DEFAULT_LIMIT if in_memory_limit is None else in_memory_limit
        return build_device_loader(view, batches, device, limit, options)
    return DataLoader(view, batch_sampler=batches, **options)


def build_eval_loader(
    view: ImageView,
    *,
    batch_size: int,
    num_workers: int,
    indices: Sequence[int] | None = None,
    rank: int = 0,
    world_size: int = 1,
    prefetch_factor: int | None = None,
    pin_memory: bool = False,
    persistent_workers: bool = True,
    keep: bool = False,
    in_memory_limit: int | None = None,
) -> DataLoader[dict[str, Any]]:
    """Builds a loader that visits samples once and in order.

    Args:
        view: the data set through the evaluation pipeline, which should hold no random transform.
        batch_size: number of samples in a batch; the last one may be smaller.
        num_workers: data worker processes; 0 loads in this process.
        indices: samples to visit, in this order. Defaults to None, all samples.
        rank: number of this process; batches are dealt to processes in turn.
        world_size: number of processes.
        prefetch_factor: batches that each worker loads ahead. Defaults to None, torch's 2.
        pin_memory: hand out page-locked tensors; no effect without CUDA. Defaults to False.
        persistent_workers: keep the workers between passes. Defaults to True.
        keep: the loader will be passed over again and again, so images are kept once made, if all
            of them take at most ``in_memory_limit`` bytes and the pipeline draws nothing. Images
            that are an array and need no arithmetic are not kept; batches of them are made at once.
        in_memory_limit: see ``keep``; 0 keeps none. Defaults to None, 1 GiB.

    Returns:
        A loader of ceil(n / batch_size) batches for n samples, or of this rank's share of them.

    Raises:
        ValueError: ``batch_size`` is less than 1, or an index is outside the data set.
    """
    order = range(len(view)) if indices is None else [int(index) for index in indices]
    if indices is not None and order and not (min(order) >= 0 and max(order) < len(view)):
        raise ValueError(
            f"indices run from {min(order)} to {max(order)}, outside the {len(view)} samples"
        )
    seen = in_batches(view)
    if keep and seen is view:
        seen = kept(view, DEFAULT_LIMIT if in_memory_limit is None else in_memory_limit)
    return DataLoader(
        seen,
        batch_sampler=DealtBatchSampler(order, batch_size, rank, world_size),
        collate_fn=collate,
        generator=torch.Generator().manual_seed(0),
        pin_memory=pin_memory and torch.cuda.is_available(),
        **_worker_options(num_workers, prefetch_factor, persistent_workers),
    )


def _worker_options(
    num_workers: int, prefetch_factor: int | None, persistent_workers: bool
) -> dict[str, Any]:
    """Options that torch refuses when there are no workers are left out then."""
    if num_workers == 0:
        return {"num_workers": 0}
    return {
        "num_workers": num_workers,
        "prefetch_factor": prefetch_factor,
        "persistent_workers": persistent_workers,
        "worker_init_fn": begin_worker,
    }


def end_workers(loader: Any) -> None:
    """Ends the data workers that a loader keeps for its next pass; that pass starts new ones.

    torch ends them when the loader is collected. Of a runner and its hooks, which refer to each
    other, pipes are then gone before the workers: torch waits 5 seconds for each of them, at
    whatever moment that is, and closes pipes that others have opened since.

    Args:
        loader: what :func:`build_train_loader` or :func:`build_eval_loader` returned.
    """
    loader = getattr(loader, "decoder", loader)
    iterator: Any = getattr(loader, "_iterator", None)
    if hasattr(iterator, "_shutdown_workers"):  # has no public name in torch
        iterator._shutdown_workers()
        loader._iterator = None
