"""Features of consecutive samples, batch by batch: what every pass over a data set is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader

from mmdeepcluster.models.algorithms import FeatureModel
from mmdeepcluster.models.prefetch import prefetched

_PROGRESS_SECONDS = 10.0


class ExtractionStoppedError(RuntimeError):
    """A pass was given up because a process was asked to stop."""


class FeatureRows(NamedTuple):
    """Features of some consecutive samples.

    Attributes:
        first: Position of the first of them in the order of the loader.
        samples: Index of each in the data set, int64 (n,).
        features: One fp32 matrix (n, D_layer) for each layer.
    """

    first: int
    samples: Tensor
    features: dict[str, Tensor]


def forward_batch(
    model: FeatureModel, batch: dict[str, Tensor], layers: Sequence[str]
) -> dict[str, Tensor]:
    """Features (B, D_layer) of a batch of the loader.

    On a CPU the channels of the images lie innermost, which halves the time of small networks.
    """
    inputs = model.data_preprocessor(batch, training=False)["inputs"]
    if inputs.device.type == "cpu" and inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return model.extract(inputs, layers)


@torch.no_grad()
def feature_rows(
    model: FeatureModel,
    loader: DataLoader[dict[str, Tensor]],
    layers: Sequence[str],
    start: int,
    stop: int,
    stop_asked: Callable[[], bool] | None = None,
) -> Iterator[FeatureRows]:
    """Features of the samples at positions ``[start, stop)`` of a loader, in order.

    Batches are those of a pass of one process over all samples, so the bits of a row do not depend
    on the positions that are asked for; a batch that holds others is computed whole.

    Args:
        model: The network, in evaluation mode.
        loader: What ``build_eval_loader`` returned.
        layers: Names out of ``model.layers``.
        start: First position.
        stop: Position after the last one.
        stop_asked: Asked before each batch whether to give up.

    Yields:
        Rows on the device of the model.

    Raises:
        ValueError: If the loader gives other samples than those of its order.
        ExtractionStoppedError: If ``stop_asked`` said so.
    """
    batches: Any = loader.batch_sampler
    order, position = batches.sampler, start // batches.batch_size * batches.batch_size
    done = start
    with batches.visiting(start, stop):
        for batch in prefetched(loader):
            if stop_asked is not None and stop_asked():
                raise ExtractionStoppedError("asked to stop")
            samples = batch["sample_idx"]
            end = position + len(samples)
            if samples.tolist() != list(order[position:end]):
                raise ValueError(f"the loader gave other samples than those at {position}:{end}")
            first, last = max(position, start), min(end, stop)
            found = forward_batch(model, batch, layers)
            part = slice(first - position, last - position)
            features = {name: value[part] for name, value in found.items()}
            yield FeatureRows(first, samples[part], features)
            done = position = end
    if min(done, stop) != stop:
        raise ValueError(f"the loader gave {done - start} of {stop - start} samples")


def on_host(rows: Iterable[FeatureRows]) -> Iterator[FeatureRows]:
    """The same rows in main memory; a GPU computes the next batch while they are copied."""
    waiting: tuple[FeatureRows, Any] | None = None
    for found in rows:
        if not any(value.is_cuda for value in found.features.values()):
            yield found
            continue
        copies = {name: _start_copy(value) for name, value in found.features.items()}
        event = torch.cuda.Event()
        event.record()
        if waiting is not None:
            yield _finished(*waiting)
        waiting = found._replace(features=copies), event
    if waiting is not None:
        yield _finished(*waiting)


def _start_copy(value: Tensor) -> Tensor:
    target = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    return target.copy_(value, non_blocking=True)


def _finished(rows: FeatureRows, event: Any) -> FeatureRows:
    event.synchronize()
    return rows


def check_finite(name: str, features: Tensor, sample_idx: Tensor) -> None:
    """Refuses rows (n, D) of the layer ``name`` of samples (n,) that hold NaN or infinity.

    Raises:
        ValueError: Naming some of the samples.
    """
    finite = torch.isfinite(features).all(dim=1).cpu()
    if not bool(finite.all()):
        bad = sample_idx[~finite][:5].tolist()
        raise ValueError(
            f"features of layer '{name}' hold NaN or infinity (samples {bad}, ...): the network "
            "has diverged; lower optim_wrapper.optimizer.lr or start from other weights"
        )


class PassProgress:
    """Says every ten seconds how far a long pass of the main process is.

    Args:
        total: Images of the pass.
        what: What they are, in a message.
    """

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self.start = self.told = time.monotonic()

    def add(self, number: int) -> None:
        """Counts images that are done."""
        self.done += number
        now = time.monotonic()
        if now - self.told < _PROGRESS_SECONDS or not is_main_process():
            return
        self.told = now
        rate = self.done / (now - self.start)
        print_log(
            f"features of {self.done:,} of {self.total:,} {self.what}, {rate:,.0f} images/s, "
            f"{(self.total - self.done) / rate:,.0f} s to go",
            logger="current",
        )
