"""The one way to turn a data set into a feature matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdeepcluster.models.algorithms import BaseAlgorithm

# Draws of these epochs are used before training; no training counts so far.
_FIRST_CALIBRATION_EPOCH = 2**31


@torch.no_grad()
def extract(
    algorithm: BaseAlgorithm,
    loader: DataLoader[dict[str, Tensor]],
    layers: Sequence[str] | None = None,
    out: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Features of every sample of a loader, one row per sample, in evaluation mode and fp32.

    Row i is sample i of the data set when the loader covers all of it; a loader over a subset
    (``build_eval_loader(..., indices=...)``) gives the rows by ascending sample. The mode
    of the model and the random state are left as they were.

    Args:
        algorithm: The model, not wrapped.
        loader: Batches ``dict(inputs, sample_idx)`` in which every sample occurs once.
        layers: Names out of ``algorithm.layers``. Defaults to the features that are clustered.
        out: Preallocated matrices to write into, by layer. Defaults to new ones on the CPU.

    Returns:
        For each layer an fp32 matrix (N, D_layer).

    Raises:
        ValueError: If a sample is missing or occurs twice, or a feature is not finite.
    """
    layers = tuple(layers or ("neck",))
    order: list[Tensor] = []
    results: dict[str, Tensor] = dict(out or {})
    num_rows = _num_rows(loader)
    was_training = algorithm.training
    algorithm.eval()
    try:
        start = 0
        for batch in loader:
            data = algorithm.data_preprocessor(batch, training=False)
            features = algorithm.extract(data["inputs"], layers)
            rows = slice(start, start + len(batch["sample_idx"]))
            for name, value in features.items():
                _check_finite(name, value, batch["sample_idx"])
                if name not in results:
                    results[name] = torch.empty(num_rows, value.shape[1])
                results[name][rows] = value.to(results[name])
            order.append(batch["sample_idx"])
            start = rows.stop
    finally:
        algorithm.train(was_training)
    return _in_sample_order(results, torch.cat(order), num_rows)


@torch.no_grad()
def calibrate_batch_norm(
    algorithm: BaseAlgorithm, loader: DataLoader[dict[str, Tensor]], num_passes: int
) -> None:
    """Sets the running statistics of batch norm to the average over training-mode passes.

    An untrained network has none, so its evaluation-mode features are not those that training
    starts from; a small momentum needs thousands of iterations to make up for it (P7). No weight
    changes. Layers that normalise without running statistics are left alone.

    Args:
        algorithm: The model, not wrapped; its mode is left as it was.
        loader: The training loader; its sampler is set to epochs that training never reaches.
        num_passes: Passes over the data set, at least 1.
    """
    layers = [
        m for m in algorithm.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None
    ]
    momenta = [layer.momentum for layer in layers]
    was_training = algorithm.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then keeps the plain average over batches
    algorithm.train()
    batches: Any = loader.batch_sampler
    for number in range(num_passes):
        batches.sampler.set_epoch(_FIRST_CALIBRATION_EPOCH + number)
        for batch in loader:
            data = algorithm.data_preprocessor(batch, training=True)
            algorithm.extract(data["inputs"], ("neck",))
    algorithm.train(was_training)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _num_rows(loader: DataLoader[dict[str, Tensor]]) -> int:
    batches: Any = loader.batch_sampler
    return len(batches.sampler)


def _check_finite(name: str, features: Tensor, sample_idx: Tensor) -> None:
    finite = torch.isfinite(features).all(dim=1).cpu()
    if not bool(finite.all()):
        bad = sample_idx[~finite][:5].tolist()
        raise ValueError(
            f"features of layer '{name}' hold NaN or infinity (samples {bad}, ...): the network "
            "has diverged; lower optim_wrapper.optimizer.lr or start from other weights"
        )


def _in_sample_order(results: dict[str, Tensor], order: Tensor, num_rows: int) -> dict[str, Tensor]:
    """Checks that each sample came once and brings the rows into the order of the samples."""
    if len(order) != num_rows or len(order.unique()) != num_rows:
        raise ValueError(
            f"the loader gave {len(order)} rows of {len(order.unique())} distinct samples, "
            f"expected each of {num_rows} once"
        )
    if bool((order[1:] > order[:-1]).all()):
        return results
    rows = order.argsort()
    for value in results.values():
        value.copy_(value[rows])
    return results
