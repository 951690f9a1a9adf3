"""What ODC's memory costs in each iteration, alone, beside the same answers as the reference.

    python benchmarks/odc_memory.py --json odc_memory.json       # ImageNet's size, 10 minutes
    python benchmarks/odc_memory.py --num-samples 100000 --num-clusters 1000 \
        --small-samples 10000 --drift-iterations 100             # a quick look

The reference is the algorithm of the released ODC code [0], written anew here: one bank of
features and labels, a recompute of all centroids from all features each 10 iterations, and two
histograms of all labels in each iteration (loss weights, small clusters).

All contenders take turns within one run: our memory, the reference, the bare fp32 product
``features @ centroids.T`` as a calibrator, and our memory at the smaller N. An iteration in which
a cluster was dissolved is counted and timed apart. Data are synthetic: noisy unit vectors around
K random directions; batches are drawn with replacement and hold repeated samples.

[0] Zhan, Xie, Liu, Ong, Loy: Online Deep Clustering for Unsupervised Representation Learning,
    CVPR 2020, arXiv 2006.10645.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import resident_bytes, result_of, spread
from torch import Tensor

from mmdeepcluster.clustering.exact_sums import to_grid
from mmdeepcluster.clustering.functional import l2_normalize
from mmdeepcluster.models.losses.class_balanced import sample_weights
from mmdeepcluster.models.memories import ODCMemory, odc_memory

MOMENTUM = 0.5
INTERVAL = 10
POWER = 0.5
# Length of the noise beside a direction of length 1, in the bank and in a batch: of the labels seen
# in an iteration about one in seven changes, and the sizes of clusters stay near N / K.
BANK_NOISE, BATCH_NOISE = 4.0, 6.0
CHUNK = 2048


class Data:
    """Noisy rows around K directions, dealt to the samples at random and in equal numbers."""

    def __init__(self, args: argparse.Namespace, num_samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (args.num_clusters, args.feature_dim)
        self.directions = l2_normalize(torch.randn(shape, generator=generator))
        self.labels = torch.randperm(num_samples, generator=generator) % args.num_clusters
        self.args = args

    def rows(self, samples: Tensor, noise: float, seed: int) -> Tensor:
        """Features (B, D) of samples (B,), on the CPU and not of unit length."""
        dim = self.directions.shape[1]
        generator = torch.Generator().manual_seed(seed)
        spread = torch.randn(len(samples), dim, generator=generator) * (noise / dim**0.5)
        return spread.add_(self.directions[self.labels[samples]])

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """Samples (B,), an eighth of them repeated, and their features, on the device."""
        generator = torch.Generator().manual_seed(seed)
        size = self.args.batch_size
        samples = torch.randint(len(self.labels), (size,), generator=generator)
        repeated = size // 8
        samples[size - repeated :] = samples[:repeated]
        features = self.rows(samples, BATCH_NOISE, seed)
        return samples.to(self.args.device), features.to(self.args.device)

    def memory(self) -> ODCMemory:
        """A filled memory; nothing of the size of its bank is held beside it."""
        num_samples, (num_clusters, dim) = len(self.labels), self.directions.shape
        memory = ODCMemory(
            num_samples,
            num_clusters,
            dim,
            momentum=MOMENTUM,
            min_cluster_size=max(1, min(20, num_samples // (2 * num_clusters))),
            centroids_update_interval=INTERVAL,
            assign_metric=self.args.metric,
        ).to(self.args.device)
        memory.assign_all(self.labels)
        for start in range(0, num_samples, CHUNK):
            samples = torch.arange(start, min(start + CHUNK, num_samples))
            rows = l2_normalize(self.rows(samples, BANK_NOISE, seed=start))
            memory.features[start : start + CHUNK] = to_grid(rows, memory.bits)
        memory.recompute_sums()
        memory.refresh_centroids()
        return memory


class Reference:
    """The released algorithm: banks on the CPU, product on the device, nothing kept running."""

    def __init__(self, memory: ODCMemory) -> None:
        self.features = memory.features.cpu().clone()
        self.labels = memory.labels.cpu().clone().numpy()
        self.centroids = memory.centroids.clone()
        self.metric = memory.assign_metric
        self.min_cluster_size = memory.min_cluster_size

    def update(self, samples: Tensor, features: Tensor) -> None:
        """Moves the rows of a batch and assigns them anew; a repeated sample's last row stays."""
        rows = samples.cpu().numpy()
        old = self.features[rows]
        unit = features.cpu() / (features.cpu().norm(dim=1, keepdim=True) + 1e-10)
        new = MOMENTUM * unit + (1 - MOMENTUM) * old
        new = new / (new.norm(dim=1, keepdim=True) + 1e-10)
        nearest = self.nearest(new.to(self.centroids.device))
        self.features.numpy()[rows] = new.numpy()  # in order, so that the last one stays
        self.labels[rows] = nearest.cpu().numpy()

    def nearest(self, rows: Tensor) -> Tensor:
        """Index of the nearest centroid of each row by one product and its argmax."""
        if self.metric == "dot":
            return (rows @ self.centroids.T).argmax(dim=1)
        norms = self.centroids.square().sum(dim=1)
        return torch.addmm(-norms, rows, self.centroids.T, alpha=2.0).argmax(dim=1)

    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the clusters in the loss, and the ids of small clusters."""
        num_clusters = len(self.centroids)
        sizes = np.bincount(self.labels, minlength=num_clusters).astype(np.float32)
        weights = sizes.clip(1) ** -POWER
        weights *= num_clusters / weights.sum()
        sizes_again = np.bincount(self.labels, minlength=num_clusters)
        return weights, np.flatnonzero(sizes_again < self.min_cluster_size)

    def recompute_centroids(self, exact: bool = False) -> None:
        """All centroids from all features: sort by label, then one mean for each cluster.

        Args:
            exact: Whether means are summed in fp64, which tells equal answers from rounding.
        """
        order = np.argsort(self.labels, kind="stable")
        sizes = np.bincount(self.labels, minlength=len(self.centroids))
        ends = np.cumsum(sizes)
        dtype = torch.float64 if exact else torch.float32
        means = torch.empty(self.centroids.shape)
        for cluster, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            means[cluster] = self.features[order[end - size : end]].mean(dim=0, dtype=dtype)
        self.centroids.copy_(means)

    def take_over(self, memory: ODCMemory) -> None:
        """Takes labels and centroids: how a cluster is split is not what is compared."""
        self.labels[:] = memory.labels.cpu().numpy()
        self.centroids.copy_(memory.centroids)


class Stopwatch:
    """Times calls, and a function called within them apart from the rest."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.inner = 0.0

    def now(self) -> float:
        """Seconds, after all work on the device is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time added to ``inner``."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            result = function(*args, **kwargs)
            self.inner += self.now() - start
            return result

        return timed

    def __call__(self, function: Callable[..., Any], *args: Any) -> tuple[Any, float, float]:
        """Result, milliseconds outside of wrapped functions, and inside of them."""
        self.inner = 0.0
        start = self.now()
        result = function(*args)
        total = self.now() - start
        return result, (total - self.inner) * 1e3, self.inner * 1e3


def our_step(memory: ODCMemory, samples: Tensor, features: Tensor) -> list[Any]:
    """What one iteration asks of the memory, but for the refresh."""
    memory.update(samples, features)
    sample_weights(memory.counts, memory.lookup(samples), POWER)
    return memory.dissolve_small_clusters()


def reference_step(reference: Reference, samples: Tensor, features: Tensor) -> None:
    """What one iteration asks of the reference, but for the recompute."""
    reference.update(samples, features)
    reference.histograms()


def differing_labels(memory: ODCMemory, reference: Reference) -> int:
    """Number of samples whose labels differ."""
    return int((memory.labels.cpu().numpy() != reference.labels).sum())


def compare(
    args: argparse.Namespace, data: Data, memory: ODCMemory, reference: Reference
) -> dict[str, Any]:
    """The same batches through both; the labels must agree."""
    dissolved, changed, first = 0, 0.0, memory.labels.clone()
    for step in range(1, args.compare_iterations + 1):
        samples, features = data.batch(seed=step)
        changed += float(memory.update(samples, features).change_ratio)
        reference_step(reference, samples, features)
        if step % INTERVAL == 0:
            memory.refresh_centroids()
            reference.recompute_centroids(exact=True)
        if memory.dissolve_small_clusters():
            dissolved += 1
            reference.take_over(memory)
    return {
        "iterations": args.compare_iterations,
        "differing_labels": differing_labels(memory, reference),
        "changed_labels": int((memory.labels != first).sum()),
        "mean_change_ratio": changed / max(1, args.compare_iterations),
        "iterations_with_dissolved_clusters": dissolved,
    }


def measure_time(
    args: argparse.Namespace,
    watch: Stopwatch,
    memories: dict[str, tuple[Data, ODCMemory]],
    reference: Reference,
) -> dict[str, Any]:
    """Median and quartiles of each part, all contenders in turn on their own batches."""
    times: dict[str, list[float]] = {}

    def note(name: str, milliseconds: float, kept: bool) -> None:
        if kept:
            times.setdefault(name, []).append(milliseconds)

    for step in range(1, args.warmup + args.iterations + 1):
        kept, refresh = step > args.warmup, step % INTERVAL == 0
        for name, (data, memory) in memories.items():
            batch = data.batch(seed=10**6 + step)
            refills, rest, product = watch(our_step, memory, *batch)
            if refills:
                note(f"{name}_dissolving", rest + product, kept)
            else:
                note(f"{name}_bookkeeping", rest, kept)
                note(f"{name}_product", product, kept)
            if refresh:
                note(f"{name}_refresh", watch(memory.refresh_centroids)[1], kept)
            if name == "ours":
                rows = l2_normalize(batch[1])
                bare = watch(torch.matmul, rows, memory.centroids.T)[1]
                note("bare_product", bare, kept)
        batch = memories["ours"][0].batch(seed=10**6 + step)
        _, rest, product = watch(reference_step, reference, *batch)
        note("reference_bookkeeping", rest, kept)
        note("reference_product", product, kept)
        if refresh:
            note("reference_recompute", watch(reference.recompute_centroids)[1], kept)
    return {name: spread(values) for name, values in times.items()}


def measure_drift(args: argparse.Namespace, data: Data, memory: ODCMemory) -> dict[str, Any]:
    """Many updates, then the means of the running sums against fp64 means of all rows."""
    for step in range(1, args.drift_iterations + 1):
        batch = data.batch(seed=2 * 10**6 + step)
        memory.update(*batch)
        if step % INTERVAL == 0:
            memory.refresh_centroids()
        memory.dissolve_small_clusters()
    sums = torch.zeros(memory.sums.shape, dtype=torch.float64, device=memory.sums.device)
    for rows, labels in zip(memory.features.split(CHUNK), memory.labels.split(CHUNK), strict=True):
        sums.index_add_(0, labels, rows.double())
    sizes = torch.bincount(memory.labels, minlength=memory.num_clusters)
    running = memory.sums / memory.counts.unsqueeze(1)
    before = memory.sums.clone()
    memory.recompute_sums()
    return {
        "iterations": args.drift_iterations,
        "max_abs_difference": float((running - sums / sizes.unsqueeze(1)).abs().max()),
        "running_sums_equal_recompute": torch.equal(before, memory.sums),
        "counts_equal_recompute": torch.equal(memory.counts, sizes),
    }


def measure_dissolving(
    args: argparse.Namespace, watch: Stopwatch, memory: ODCMemory
) -> dict[str, float] | None:
    """Time to dissolve one cluster that was made small by hand."""
    times = []
    for cluster in range(args.dissolves):
        members = (memory.labels == cluster).nonzero().flatten()
        memory.labels[members[memory.min_cluster_size - 1 :]] = memory.num_clusters - 1
        memory.recompute_sums()
        refills, rest, product = watch(memory.dissolve_small_clusters)
        if len(refills) == 1 and memory.min_cluster_size > 1:
            times.append(rest + product)
    return spread(times) if times else None


def peak_of_this_process(args: argparse.Namespace) -> None:
    """Prints the peak of a process that fills a memory and runs iterations, in bytes."""
    on_cpu = args.device == "cpu"
    before = resident_bytes("VmRSS") if on_cpu else torch.cuda.memory_allocated()
    data = Data(args, args.num_samples)
    memory = data.memory()
    for step in range(1, 2 * INTERVAL + 1):
        our_step(memory, *data.batch(seed=step))
        if step % INTERVAL == 0:
            memory.refresh_centroids()
    peak = resident_bytes("VmHWM") if on_cpu else torch.cuda.max_memory_allocated()
    print(peak - before)


def measure_peak(arguments: list[str], bank_bytes: int) -> dict[str, float]:
    """Peak memory of a fresh process, above what it held once torch was imported."""
    command = [sys.executable, str(Path(__file__).resolve()), *arguments, "--print-peak"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = int(result.stdout.split()[-1])
    return {"bank_bytes": bank_bytes, "peak_bytes": peak, "ratio": peak / bank_bytes}


def per_iteration(times: dict[str, Any], each: str, sometimes: str) -> float:
    """Median of what is done each iteration plus the share of what is done now and then."""
    share = times[sometimes]["median"] / INTERVAL if sometimes in times else 0.0
    return float(times[each]["median"] + share)


def targets(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures that have a limit."""
    times = result["times_ms"]
    ours = per_iteration(times, "ours_bookkeeping", "ours_refresh")
    small = per_iteration(times, "small_bookkeeping", "small_refresh")
    reference = per_iteration(times, "reference_bookkeeping", "reference_recompute")
    steps = [
        rest + times[name]["median"]
        for rest, name in ((ours, "ours_product"), (small, "small_product"))
    ]
    product = times["ours_product"]["median"] / times["bare_product"]["median"]
    rows: list[tuple[str, float, str, float]] = [
        ("bookkeeping_ms", ours, "<=", 2.0),
        ("reference_bookkeeping_over_ours", reference / ours, ">=", 50.0),
        ("product_with_argmax_over_bare_product", product, "<=", 1.3),
        ("step_at_n_over_step_at_small_n", steps[0] / steps[1], "<=", 1.1),
        ("bookkeeping_at_n_over_bookkeeping_at_small_n", ours / small, "<=", 1.1),
        ("peak_memory_over_bank", result["peak"]["ratio"], "<=", 1.15),
        ("drift", result["drift"]["max_abs_difference"], "<=", 1e-12),
        ("differing_labels", result["answers"]["differing_labels"], "<=", 0),
    ]
    return {
        name: {
            "value": value,
            "limit": f"{sign} {limit:g}",
            "met": value <= limit if sign == "<=" else value >= limit,
        }
        for name, value, sign, limit in rows
    }


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default, text in (
        ("num-samples", 1_281_167, "N"),
        ("small-samples", 128_117, "the smaller N that N is compared with"),
        ("num-clusters", 10_000, "K"),
        ("feature-dim", 256, "D"),
        ("batch-size", 512, "samples in one iteration"),
        ("iterations", 100, "timed iterations"),
        ("warmup", 10, "iterations before"),
        ("compare-iterations", 300, "iterations after which labels are compared"),
        ("drift-iterations", 10_000, "iterations after which sums are recomputed"),
        ("dissolves", 5, "clusters made small by hand and dissolved, timed apart"),
        ("threads", 0, "torch threads; 0 leaves the default"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} ({default})")
    parser.add_argument("--metric", choices=("l2", "dot"), default="l2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for machine, settings and figures")
    parser.add_argument("--print-peak", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.small_samples < args.num_clusters or args.num_samples < args.num_clusters:
        parser.error("--num-samples and --small-samples must be at least --num-clusters")
    if args.iterations < INTERVAL:
        parser.error(f"--iterations must be at least {INTERVAL}, the interval of the centroids")
    return args


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    args = parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.print_peak:
        peak_of_this_process(args)
        return
    began = time.perf_counter()
    peak = measure_peak(arguments, args.num_samples * args.feature_dim * 4)

    data, small = Data(args, args.num_samples), Data(args, args.small_samples)
    watch = Stopwatch(args.device)
    odc_memory.nearest_centroid = watch.wrap(odc_memory.nearest_centroid)  # type: ignore
    memory = data.memory()
    reference = Reference(memory)
    answers = compare(args, data, memory, reference)
    reference.nearest = watch.wrap(reference.nearest)  # type: ignore[method-assign]
    memories = {"ours": (data, memory), "small": (small, small.memory())}
    times = measure_time(args, watch, memories, reference)
    del reference, memories
    drift = measure_drift(args, data, memory)
    dissolving = measure_dissolving(args, watch, memory)
    result: dict[str, Any] = result_of("odc_memory", arguments, args) | {
        "times_ms": times,
        "dissolving_one_cluster_ms": dissolving,
        "answers": answers,
        "drift": drift,
        "peak": peak,
    }
    result["targets"] = targets(result)
    result["seconds"] = time.perf_counter() - began
    print_result(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


def print_result(result: dict[str, Any]) -> None:
    """A table a person can read."""
    print(f"{result['command']}\n{result['machine']}\n{result['versions']}\n")
    for name, value in result["times_ms"].items():
        print(
            f"{name:32} {value['median']:10.3f} ms   [{value['p25']:.3f}, {value['p75']:.3f}]"
            f"   {value['runs']} runs"
        )
    print(f"dissolving one cluster: {result['dissolving_one_cluster_ms']}")
    for part in ("answers", "drift", "peak"):
        print(f"{part}: {result[part]}")
    for name, row in result["targets"].items():
        verdict = "met" if row["met"] else "MISSED"
        print(f"{name:46} {row['value']:12.4g}   {row['limit']:8}   {verdict}")
    print(f"{result['seconds']:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
