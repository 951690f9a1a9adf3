"""The one way to turn a data set into a feature matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather, broadcast, get_world_size
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
    keep: Tensor | None = None,
) -> dict[str, Tensor]:
    """Features of every sample of a loader, one row per sample, in evaluation mode and fp32.

    Row i is sample i of the data set when the loader covers all of it; a loader over a subset
    (``build_eval_loader(..., indices=...)``) gives the rows by ascending sample. The mode
    of the model and the random state are left as they were.

    Collective: with several processes each computes the batches that it was dealt, with the batch
    norm statistics of the main process, and gets the rows that it asks for. The bits do not depend
    on the number of processes.

    Args:
        algorithm: The model, not wrapped.
        loader: Batches ``dict(inputs, sample_idx)`` in which every sample occurs once.
        layers: Names out of ``algorithm.layers``, as ``algorithm.extract`` understands them: maps
            are averaged over positions, or flattened with ``.flat`` or ``.avg2`` behind the
            name. Defaults to the features that are clustered.
        out: Preallocated matrices to write into, by layer. Defaults to new ones on the CPU.
        keep: Ascending samples, int64 (M,), whose rows this process wants. Defaults to all.

    Returns:
        For each layer an fp32 matrix (N, D_layer), or (M, D_layer).

    Raises:
        ValueError: If a sample is missing or occurs twice, or a feature is not finite.
    """
    layers = tuple(layers or ("neck",))
    samples = _samples(loader)
    keep = samples if keep is None else keep
    rows = torch.full((int(samples[-1]) + 1,), -1)
    rows[keep] = torch.arange(len(keep))
    results: dict[str, Tensor] = dict(out or {})
    num_found = 0
    _broadcast_buffers(algorithm)
    was_training = algorithm.training
    algorithm.eval()
    try:
        for index, features in _rounds(algorithm, loader, layers, len(samples)):
            num_found += len(index)
            row = rows[index]
            wanted = row >= 0
            for name, value in features.items():
                _check_finite(name, value, index)
                if name not in results:
                    results[name] = torch.empty(len(keep), value.shape[1])
                target = results[name]
                target[row[wanted].to(target.device)] = value[wanted.to(value.device)].to(target)
    finally:
        algorithm.train(was_training)
    if num_found != len(samples):
        raise ValueError(f"the loader gave {num_found} of {len(samples)} samples")
    return results


def _samples(loader: DataLoader[dict[str, Tensor]]) -> Tensor:
    """The samples that the loaders of all processes visit, ascending."""
    batches: Any = loader.batch_sampler
    order = torch.as_tensor(batches.sampler, dtype=torch.int64)
    distinct = order.unique()
    if len(distinct) != len(order):
        raise ValueError(
            f"the loader gives {len(order)} rows of {len(distinct)} distinct samples, expected "
            "each once"
        )
    return distinct


def _rounds(
    algorithm: BaseAlgorithm,
    loader: DataLoader[dict[str, Tensor]],
    layers: tuple[str, ...],
    num_samples: int,
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Samples (B,) and their features (B, D_layer), of the batches of all processes."""
    if get_world_size() == 1:
        for batch in loader:
            yield batch["sample_idx"], _forward(algorithm, batch, layers)
        return
    sizes: Any = loader.batch_sampler
    size = sizes.batch_size
    widths: list[int] | None = None
    batches = iter(loader)
    for _ in range(math.ceil(num_samples / (size * get_world_size()))):
        own = next(batches, None)
        features = {} if own is None else _forward(algorithm, own, layers)
        if widths is None:
            # A process with no batch at all cannot know them; the main one always has a batch.
            found = [features[name].shape[1] if features else 0 for name in layers]
            agreed = torch.tensor(found)
            broadcast(agreed)
            widths = agreed.tolist()
        index = torch.full((size,), -1)
        if own is not None:
            index[: len(own["sample_idx"])] = own["sample_idx"]
        indices = [found.cpu() for found in all_gather(index)]
        filled = [found >= 0 for found in indices]
        gathered = {}
        for name, width in zip(layers, widths, strict=True):
            padded = torch.zeros(size, width, device=algorithm.data_preprocessor.device)
            if name in features:
                padded[: len(features[name])] = features[name]
            pieces = zip(all_gather(padded), filled, strict=True)
            gathered[name] = torch.cat([piece[rows.to(piece.device)] for piece, rows in pieces])
        yield torch.cat(indices)[torch.cat(filled)], gathered


def _forward(
    algorithm: BaseAlgorithm, batch: dict[str, Tensor], layers: tuple[str, ...]
) -> dict[str, Tensor]:
    data = algorithm.data_preprocessor(batch, training=False)
    return algorithm.extract(data["inputs"], layers)


def _broadcast_buffers(algorithm: BaseAlgorithm) -> None:
    """Gives every process the batch norm statistics of the main one, which a checkpoint holds."""
    if get_world_size() > 1:
        parameters = {name for name, _ in algorithm.named_parameters()}
        for name, value in algorithm.state_dict().items():
            if name not in parameters:
                broadcast(value)


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


def _check_finite(name: str, features: Tensor, sample_idx: Tensor) -> None:
    finite = torch.isfinite(features).all(dim=1).cpu()
    if not bool(finite.all()):
        bad = sample_idx[~finite][:5].tolist()
        raise ValueError(
            f"features of layer '{name}' hold NaN or infinity (samples {bad}, ...): the network "
            "has diverged; lower optim_wrapper.optimizer.lr or start from other weights"
        )
