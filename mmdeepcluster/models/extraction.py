"""The one way to turn a data set into a feature matrix."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from mmengine.dist import (
    all_gather,
    all_gather_object,
    broadcast,
    get_world_size,
)
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader

from mmdeepcluster.clustering import RowShare
from mmdeepcluster.models.algorithms import FeatureModel
from mmdeepcluster.models.prefetch import prefetched
from mmdeepcluster.models.row_pass import (
    ExtractionStoppedError,
    PassProgress,
    check_finite,
    feature_rows,
    forward_batch,
)


@torch.no_grad()
def extract(
    algorithm: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: Sequence[str] | None = None,
    out: dict[str, Tensor] | None = None,
    keep: Tensor | None = None,
    share: RowShare | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, Tensor]:
    """Features of every sample of a loader, one row per sample, in evaluation mode and fp32.

    Row i is sample i of the data set when the loader covers all of it; a loader over a subset
    (``build_eval_loader(..., indices=...)``) gives the rows by ascending sample. The mode
    of the model and the random state are left as they were.

    Collective, with the batch norm statistics of the main process. Where all rows or those of
    ``keep`` are asked for, each process computes the batches that it was dealt and sends them to
    all. The rows of its ``share`` a process computes by itself, and no feature is sent; a batch on
    the border of two shares is computed twice. Either way batches are those of one process, so
    the bits do not depend on the number of processes. A pass of more than ten seconds is logged.

    Args:
        algorithm: The model, not wrapped.
        loader: Batches ``dict(inputs, sample_idx)`` in which every sample occurs once.
        layers: Names out of ``algorithm.layers``, as ``algorithm.extract`` understands them: maps
            are averaged over positions, or flattened with ``.flat`` or ``.avg2`` behind the
            name. Defaults to the features that are clustered.
        out: Preallocated matrices to write into, by layer. Defaults to new ones on the CPU.
        keep: Ascending samples, int64 (M,), whose rows this process wants. Defaults to all.
        share: Rows that this process wants, of the rows (N, D) of all samples of the loader, which
            visits them in ascending order. Not together with ``keep``.
        stop: With ``share``, asked before each batch whether this process shall give up its pass.

    Returns:
        For each layer an fp32 matrix (N, D_layer), or with the rows of ``keep`` or ``share``.

    Raises:
        ValueError: If a sample is missing or occurs twice, or a feature is not finite.
        RuntimeError: If another process could not extract its share.
        ExtractionStoppedError: On every process, at the end of its pass, if one gave up.
    """
    if keep is not None and share is not None:
        raise ValueError("give keep or share, not both")
    layers = tuple(layers or ("neck",))
    _broadcast_buffers(algorithm)
    was_training = algorithm.training
    algorithm.eval()
    try:
        if share is not None:
            return _extract_share(algorithm, loader, layers, dict(out or {}), share, stop)
        return _extract_gathered(algorithm, loader, layers, dict(out or {}), keep)
    finally:
        algorithm.train(was_training)


def _extract_share(
    algorithm: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: tuple[str, ...],
    results: dict[str, Tensor],
    share: RowShare,
    stop: Callable[[], bool] | None,
) -> dict[str, Tensor]:
    """Rows of this process's share; see :func:`extract`."""
    problem: Exception | None = None
    try:
        _write_share(algorithm, loader, layers, results, share, stop)
    except ExtractionStoppedError as error:
        problem = error
    except Exception as error:
        # Others may have hours to go. They learn it at the end, a person now.
        problem = error
        if share.world_size > 1:
            text = f"process {share.rank} cannot extract its features: {error}"
            print_log(text, logger="current", level=logging.ERROR)
    widths = {name: rows.shape[1] for name, rows in results.items()}
    stopped = isinstance(problem, ExtractionStoppedError)
    said = [(None if problem is None else str(problem), widths, stopped)]
    if share.world_size > 1:
        said = all_gather_object(said[0], share.group)
    if problem is not None:
        raise problem
    if any(stopped for _, _, stopped in said):
        raise ExtractionStoppedError("another process was asked to stop")
    for rank, (reason, known, _) in enumerate(said):
        if reason is not None:
            raise RuntimeError(f"process {rank} cannot extract its features: {reason}")
        # A process with an empty share cannot know them otherwise.
        widths |= known
    for name in layers:
        results.setdefault(name, torch.empty(0, widths[name]))
    return results


def _write_share(
    algorithm: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: tuple[str, ...],
    results: dict[str, Tensor],
    share: RowShare,
    stop: Callable[[], bool] | None,
) -> None:
    batches: Any = loader.batch_sampler
    order = batches.sampler
    if len(order) != share.num_rows:
        raise ValueError(
            f"the loader visits {len(order)} samples, the share is of {share.num_rows}"
        )
    if not isinstance(order, range) and any(a >= b for a, b in pairwise(order)):
        raise ValueError("the loader must visit distinct samples in ascending order")
    whose = " of the main process" if share.world_size > 1 else ""
    progress = PassProgress(len(share), f"images{whose}")
    for rows in feature_rows(algorithm, loader, layers, share.start, share.stop, stop):
        begin, end = rows.first - share.start, rows.first - share.start + len(rows.samples)
        for name, value in rows.features.items():
            check_finite(name, value, rows.samples)
            if name not in results:
                results[name] = torch.empty(len(share), value.shape[1])
            target = results[name]
            target[begin:end] = value.to(target)
        progress.add(len(rows.samples))


def _extract_gathered(
    algorithm: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: tuple[str, ...],
    results: dict[str, Tensor],
    keep: Tensor | None,
) -> dict[str, Tensor]:
    """Rows of the samples to keep, out of those that all processes send; see :func:`extract`."""
    samples = _samples(loader)
    keep = samples if keep is None else keep
    rows = torch.full((int(samples[-1]) + 1,), -1)
    rows[keep] = torch.arange(len(keep))
    num_found = 0
    progress = PassProgress(len(samples), "images")
    for index, features in _rounds(algorithm, loader, layers, len(samples)):
        num_found += len(index)
        row = rows[index]
        wanted = row >= 0
        for name, value in features.items():
            check_finite(name, value, index)
            if name not in results:
                results[name] = torch.empty(len(keep), value.shape[1])
            target = results[name]
            target[row[wanted].to(target.device)] = value[wanted.to(value.device)].to(target)
        progress.add(len(index))
    if num_found != len(samples):
        raise ValueError(f"the loader gave {num_found} of {len(samples)} samples")
    return results


def _samples(loader: DataLoader[dict[str, Tensor]]) -> Tensor:
    """The samples that the loaders of all processes visit, ascending."""
    batches: Any = loader.batch_sampler
    order = batches.sampler
    if isinstance(order, range):
        return torch.arange(order.start, order.stop, order.step).sort().values
    visited = torch.as_tensor(order, dtype=torch.int64)
    distinct = visited.unique()
    if len(distinct) != len(visited):
        raise ValueError(
            f"the loader gives {len(visited)} rows of {len(distinct)} distinct samples, expected "
            "each once"
        )
    return distinct


def _rounds(
    algorithm: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: tuple[str, ...],
    num_samples: int,
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Samples (B,) and their features (B, D_layer), of the batches of all processes."""
    if get_world_size() == 1:
        for batch in prefetched(loader):
            yield batch["sample_idx"], forward_batch(algorithm, batch, layers)
        return
    sizes: Any = loader.batch_sampler
    size = sizes.batch_size
    widths: list[int] | None = None
    batches = prefetched(loader)
    for _ in range(math.ceil(num_samples / (size * get_world_size()))):
        own = next(batches, None)
        features = {} if own is None else forward_batch(algorithm, own, layers)
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


def _broadcast_buffers(algorithm: FeatureModel) -> None:
    """Gives every process the batch norm statistics of the main one, which a checkpoint holds."""
    if get_world_size() > 1:
        parameters = {name for name, _ in algorithm.named_parameters()}
        for name, value in algorithm.state_dict().items():
            if name not in parameters:
                broadcast(value)
