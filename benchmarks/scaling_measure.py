"""Small runs of each phase of a DeeperCluster cycle, for ``scaling.py``.

Each measurement holds the work that was done, in the units of the coefficients of
:mod:`scaling_model`, so that a fit needs nothing else.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import busy_seconds, resident_bytes
from scaling_model import kmeans_work
from torch import Tensor

from mmdeepcluster.clustering import KMeans, PCAWhitening, RowShare
from mmdeepcluster.clustering.functional import l2_normalize
from mmdeepcluster.clustering.row_source import RowSource
from mmdeepcluster.datasets.samplers import DealtBatchSampler, UniformClusterSampler
from mmdeepcluster.engine.checkpoint_io import write_atomically
from mmdeepcluster.models.backbones import VGG16BN
from mmdeepcluster.models.extraction import extract
from mmdeepcluster.models.memories import LabelBank

COMPONENTS, NOISE, DECAY = 2000, 0.7, 0.5
_CHUNK = 1 << 16
CLOCKS = ("wall", "processor")


def make_rows(file: Path, num_rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Memory-mapped unit rows (N, D): a mixture whose spectrum decays as ``j ** -0.5``.

    Fewer rows are a prefix of more of the same seed.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, dim + 1).float().pow(-DECAY)
    means = torch.randn(COMPONENTS, dim, generator=generator) * scale
    rows = np.lib.format.open_memmap(file, "w+", np.float32, (num_rows, dim))
    for number, start in enumerate(range(0, num_rows, _CHUNK)):
        generator.manual_seed(seed + 1 + number)
        size = min(_CHUNK, num_rows - start)
        noise = torch.randn(_CHUNK, dim, generator=generator)[:size] * scale
        choice = torch.randint(COMPONENTS, (_CHUNK,), generator=generator)[:size]
        rows[start : start + size] = l2_normalize(means[choice] + NOISE * noise).numpy()
    rows.flush()
    return np.load(file, mmap_mode="r")


class Meter:
    """Times functions beside a bare product, and sees what neighbours take of the processor.

    Args:
        rounds: Repetitions; the fastest counts, since a neighbour can only add to it.
        size: Width of the matrices of the bare product.
    """

    def __init__(self, rounds: int, size: int = 1024) -> None:
        self.rounds = rounds
        generator = torch.Generator().manual_seed(0)
        self._factor = torch.randn(size, size, generator=generator)

    def __call__(
        self, phase: str, work: dict[str, float], function: Callable[[], Any], **size: Any
    ) -> dict[str, Any]:
        """Best times of a function."""
        found = [self._once(function) for _ in range(self.rounds)]
        return {
            "phase": phase,
            "size": size,
            "work": work,
            **{clock: min(one[clock] for one in found) for clock in CLOCKS},
            "foreign": min(one["foreign"] for one in found),
            "load": os.getloadavg()[0],
            **self.calibrate(),
        }

    def _once(self, function: Callable[[], Any]) -> dict[str, float]:
        busy, wall, own = busy_seconds(), time.perf_counter(), time.process_time()
        function()
        wall, own = time.perf_counter() - wall, time.process_time() - own
        others = (busy_seconds() - busy - own) / (wall * (os.cpu_count() or 1))
        return {"wall": wall, "processor": own, "foreign": min(1.0, max(0.0, others))}

    def calibrate(self) -> dict[str, float]:
        """GFLOP/s of a product of square matrices, fp32 and bf16."""
        flops = 2.0 * len(self._factor) ** 3
        found = {}
        for name, factor in (("fp32", self._factor), ("bf16", self._factor.bfloat16())):
            factor @ factor
            seconds = [self._once(lambda f=factor: f @ f)["wall"] for _ in range(5)]
            found[f"{name}_gflops"] = flops / float(np.median(seconds)) / 1e9
        return found


def peak_of(function: Callable[[], Any]) -> int:
    """Bytes by which the resident set grows at most while a function runs."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is resident now
    before = resident_bytes("VmRSS")
    function()
    return resident_bytes("VmHWM") - before


def kmeans_units(kind: str, shape: tuple[int, int, int], passes: int) -> dict[str, float]:
    """Work of a k-means; what is read from rows counts apart for mapped ones."""
    rows, dim, clusters = shape
    work = kmeans_work(rows, dim, clusters, passes)
    for term in ("number", "once"):
        work[f"{term} {kind}"] = work.pop(term)
    return work


def measure_kmeans(
    meter: Meter, folder: Path, shapes: Iterable[tuple[str, int, int, int, int]]
) -> Iterator[dict[str, Any]]:
    """k-means of ``(kind, N, D, K, max_iters)``."""
    for kind, num_rows, dim, clusters, iters in shapes:
        mapped = make_rows(folder / "rows.npy", num_rows, dim)
        rows = mapped if kind == "mapped" else torch.from_numpy(np.array(mapped))
        kmeans = KMeans(clusters, max_iters=iters)
        passes = kmeans.fit(rows, 0).num_iters + 1
        work = kmeans_units(kind, (num_rows, dim, clusters), passes)
        size = {"kind": kind, "N": num_rows, "D": dim, "K": clusters, "passes": passes}
        yield meter("k-means", work, lambda k=kmeans, r=rows: k.fit(r, 0), **size)


def measure_pca(
    meter: Meter, folder: Path, shapes: Iterable[tuple[int, int, int]]
) -> Iterator[dict[str, Any]]:
    """Fit and projection of ``(N, F, D)``."""
    for num_rows, width, dim in shapes:
        rows = make_rows(folder / "rows.npy", num_rows, width)
        size = {"N": num_rows, "F": width, "D": dim}
        pca = PCAWhitening(dim)
        work = {
            "pca_multiply": num_rows * width**2 / 2,
            "pca_number": num_rows * width,
            "pca_cube": width**3,
            "pca_vectors": dim * width**2,
        }
        yield meter("PCA fit", work, lambda p=pca, r=rows: p.fit(r), **size)
        transform = pca.fit(rows)
        work = {"apply_multiply": num_rows * width * dim, "apply_number": num_rows * width}
        yield meter("PCA apply", work, lambda t=transform, r=rows: t(r), **size)


def measure_move(
    meter: Meter, folder: Path, shapes: Iterable[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Picking a fourth of memory-mapped rows ``(N, D)``, as for a super-cluster."""
    for num_rows, dim in shapes:
        source = RowSource(make_rows(folder / "rows.npy", num_rows, dim))
        order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))
        chosen = order[: num_rows // 4].sort().values
        work = {"move_byte": len(chosen) * dim * 4}
        yield meter("pick rows", work, lambda s=source, c=chosen: s.take(c), N=num_rows, D=dim)


class _NoModel:
    """What extraction asks of an algorithm, for one number of each sample."""

    training = False

    def eval(self) -> None:
        """Does nothing."""

    def train(self, mode: bool) -> None:
        """Does nothing."""

    def data_preprocessor(self, batch: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        """The batch."""
        return batch

    def extract(self, inputs: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """One column."""
        return {"neck": inputs}


class _NoLoader:
    """Batches of one number of each of N samples, in order."""

    def __init__(self, num_samples: int) -> None:
        self.batch_sampler = DealtBatchSampler(range(num_samples), batch_size=256)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self.batch_sampler:
            yield {"inputs": torch.zeros(len(batch), 1), "sample_idx": torch.tensor(batch)}


def index_samples(num_samples: int) -> None:
    """An extraction without a network."""
    loader: Any = _NoLoader(num_samples)
    model: Any = _NoModel()
    extract(model, loader, share=RowShare(num_samples))


def labelled(num_samples: int, clusters: int) -> tuple[LabelBank, Tensor]:
    """A bank and labels that occur equally often."""
    order = torch.randperm(num_samples, generator=torch.Generator().manual_seed(0))
    return LabelBank(num_samples, clusters), order % clusters


def take_labels(bank: LabelBank, sampler: UniformClusterSampler, labels: Tensor) -> None:
    """What follows a clustering."""
    bank.assign_all(labels)
    sampler.set_labels(labels)


def measure_labels(
    meter: Meter, folder: Path, shapes: Iterable[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Bookkeeping of ``(N, K)``: an extraction without a network, labels, draws, a checkpoint."""
    for num_samples, clusters in shapes:
        size = {"N": num_samples, "K": clusters}
        indexed = {"index_sample": num_samples}
        yield meter("extraction alone", indexed, lambda n=num_samples: index_samples(n), **size)
        bank, labels = labelled(num_samples, clusters)
        sampler = UniformClusterSampler(num_samples, seed=0, world_size=64)
        work = {"label_sample": num_samples, "label_cluster": clusters}
        arguments = (bank, sampler, labels)
        yield meter("labels and sampler", work, lambda a=arguments: take_labels(*a), **size)
        work = {"draw_sample": num_samples, "draw_cluster": clusters}
        yield meter("draws of an epoch", work, lambda s=sampler: next(iter(s)), **size)
        path = folder / "labels.pth"
        state = {"save_byte": 16 * num_samples + 8 * clusters}
        yield meter(
            "checkpoint of labels",
            state,
            lambda b=bank, p=path: write_atomically(p, {"cluster_state": b.state()}),
            **size,
        )


def measure_memory(
    folder: Path, shapes: Iterable[tuple[int, int, int]], num_samples: int, clusters: int
) -> list[dict[str, Any]]:
    """Peaks of k-means of ``(N, D, K)`` in memory, and of the bookkeeping of (N, K)."""
    found = []
    for num_rows, dim, size in shapes:
        rows = torch.from_numpy(np.array(make_rows(folder / "rows.npy", num_rows, dim)))
        peak = peak_of(lambda r=rows, k=size: KMeans(k, max_iters=2).fit(r, 0))
        found.append({"phase": "k-means", "N": num_rows, "D": dim, "K": size, "peak": peak})
    bank, labels = labelled(num_samples, clusters)
    sampler = UniformClusterSampler(num_samples, seed=0, world_size=64)
    steps: dict[str, Callable[[], Any]] = {
        "labels and sampler": lambda: take_labels(bank, sampler, labels),
        "draws of an epoch": lambda: next(iter(sampler)),
    }
    for phase, step in steps.items():
        found.append({"phase": phase, "N": num_samples, "K": clusters, "peak": peak_of(step)})
    alone = UniformClusterSampler(num_samples, seed=0)
    alone.set_labels(labels)
    phase = "draws of an epoch, one process"
    peak = peak_of(lambda: next(iter(alone)))
    return [*found, {"phase": phase, "N": num_samples, "K": clusters, "peak": peak}]


def backbone_sizes() -> dict[str, int]:
    """Parameters of VGG-16 with Sobel, and the bytes that it keeps of an image of 224 pixels.

    Nothing is computed: all tensors are shapes alone.
    """
    with torch.device("meta"):
        network = VGG16BN(sobel=True).train()
        images = torch.zeros(2, 3, 224, 224)
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, or another one could get its number
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(images)
    for weight in network.parameters():
        kept.pop(weight.untyped_storage()._cdata, None)
    return {
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "bytes_of_an_image": sum(storage.nbytes() for storage in kept.values()) // len(images),
    }
