"""k-means beside faiss and scikit-learn: time, exactness, warm start, processes.

    python benchmarks/kmeans.py --json kmeans.json         # two shapes, some minutes
    python benchmarks/kmeans.py --small                    # seconds, for a look

All contenders run 20 Lloyd iterations on all rows from the same centroids, then assign the rows to
the last ones, and take turns within each round with a calibrator: the bare fp32 product of the rows
with the first centroids. Where neighbours use the machine, measure with one thread and look at the
processor time, which they disturb less than the wall time. Data are synthetic: unit vectors around
2000 random directions.

Labels are compared with a brute-force search in fp64 among each contender's own last centroids.
The warm start takes the labels of a run, moves the rows, and runs 5 iterations on them beside 20
from random rows. Processes are gloo processes on this machine, one thread each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from harness import result_of, spread
from torch import Tensor

from mmdeepcluster.clustering import ClusterResult, KMeans, RowShare, nearest_centroid, row_share
from mmdeepcluster.clustering.arithmetic import ladder
from mmdeepcluster.clustering.fast_assign import CentroidSearch, SearchRows
from mmdeepcluster.clustering.functional import cluster_sums, l2_normalize
from mmdeepcluster.clustering.row_source import RowSource

ITERATIONS, WARM_ITERATIONS = 20, 5
SHAPES = ["100000,256,1000", "50000,256,10000"]
PARTS = ("shapes", "warm", "processes")
SMALL_SHAPES = ["3000,16,40", "2000,16,400"]


class Fit(NamedTuple):
    """What a contender ends with; ``centroids`` are those that ``labels`` are nearest to.

    ``assignments`` is how often all rows were assigned: all contenders stop when nothing moves.
    """

    labels: Tensor
    centroids: Tensor
    assignments: int


def make_rows(num_rows: int, dim: int, seed: int) -> Tensor:
    """Unit rows (N, D) around 2000 directions, with noise as long as a direction."""
    generator = torch.Generator().manual_seed(seed)
    directions = l2_normalize(torch.randn(2000, dim, generator=generator))
    rows = torch.randn(num_rows, dim, generator=generator) / dim**0.5
    return l2_normalize(
        rows.add_(directions[torch.randint(2000, (num_rows,), generator=generator)])
    )


def run_ours(rows: Tensor, start: Tensor) -> Fit:
    """Our k-means; its centroids are means of the final members, so it also predicts with them."""
    result = KMeans(len(start), ITERATIONS).fit(rows, 0, centroids=start)
    return Fit(result.assignments, result.centroids, result.num_iters + 1)


def run_faiss(rows: Tensor, start: Tensor) -> Fit:
    """``faiss.Kmeans`` on all rows, and a search for the final assignment."""
    import faiss

    kmeans = faiss.Kmeans(
        rows.shape[1],
        len(start),
        niter=ITERATIONS,
        max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
    )
    kmeans.train(rows.numpy(), init_centroids=start.numpy())
    labels = kmeans.index.search(rows.numpy(), 1)[1][:, 0]
    centroids = torch.from_numpy(kmeans.centroids)
    return Fit(torch.from_numpy(labels), centroids, len(kmeans.obj) + 1)


def run_sklearn(rows: Tensor, start: Tensor) -> Fit:
    """``sklearn.cluster.KMeans`` by Lloyd's algorithm; it assigns once more in the end itself."""
    from sklearn.cluster import KMeans as SklearnKMeans

    kmeans = SklearnKMeans(
        len(start), init=start.numpy(), n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd"
    ).fit(rows.numpy())
    labels = torch.from_numpy(kmeans.labels_).long()
    # It does not assign once more if it stopped because no label changed.
    assignments = kmeans.n_iter_ + int(kmeans.n_iter_ == ITERATIONS)
    return Fit(labels, torch.from_numpy(kmeans.cluster_centers_), assignments)


def run_fp32(rows: Tensor, start: Tensor) -> Fit:
    """Plain Lloyd in fp32, the reference for the objective."""
    centroids = start
    labels, assignments = nearest_centroid(rows, centroids), 1
    for _ in range(ITERATIONS):
        counts = torch.bincount(labels, minlength=len(start))
        means = cluster_sums(rows, labels, len(start)) / counts.clamp_min(1).unsqueeze(1)
        centroids = torch.where(counts.unsqueeze(1) > 0, means.float(), centroids)
        before, labels = labels, nearest_centroid(rows, centroids)
        assignments += 1
        if torch.equal(before, labels):
            break
    return Fit(labels, centroids, assignments)


def contenders() -> dict[str, Callable[[Tensor, Tensor], Fit]]:
    """Those that are installed."""
    import importlib.util

    found: dict[str, Callable[[Tensor, Tensor], Fit]] = {"ours": run_ours}
    if importlib.util.find_spec("faiss"):
        found["faiss"] = run_faiss
    if importlib.util.find_spec("sklearn"):
        found["sklearn"] = run_sklearn
    return found


def set_threads(threads: int) -> None:
    """The same number of threads for all; scikit-learn follows OMP_NUM_THREADS alone."""
    torch.set_num_threads(threads)
    try:
        import faiss
    except ImportError:
        return
    faiss.omp_set_num_threads(threads)


def mean_distance(rows: Tensor, labels: Tensor, num_clusters: int) -> float:
    """Mean squared distance of rows to the mean of their cluster, in fp64."""
    counts = torch.bincount(labels, minlength=num_clusters).clamp_min(1)
    means = cluster_sums(rows, labels, num_clusters) / counts.unsqueeze(1)
    total = sum(
        float((part.double() - means[label]).square().sum())
        for part, label in zip(rows.split(4096), labels.split(4096), strict=True)
    )
    return total / len(rows)


def wrong_labels(rows: Tensor, labels: Tensor, centroids: Tensor) -> int:
    """Rows for which another centroid is nearer by more than 1e-12 of the distance, in fp64."""
    wide = centroids.double()
    squares, wrong = wide.square().sum(dim=1), 0
    for part, label in zip(rows.split(2048), labels.split(2048), strict=True):
        scores = torch.addmm(squares, part.double(), wide.T, alpha=-2.0)
        best = scores.argmin(dim=1)
        ours, theirs = (
            (part.double() - wide[choice]).square().sum(dim=1) for choice in (label, best)
        )
        wrong += int((ours > theirs * (1 + 1e-12)).sum())
    return wrong


def seconds(function: Callable[..., Any], *args: Any) -> tuple[Any, float, float]:
    """Result, wall time and processor time of this process."""
    start, used = time.perf_counter(), time.process_time()
    result = function(*args)
    return result, time.perf_counter() - start, time.process_time() - used


def measure_shape(shape: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Times of all contenders in turn, and what they end with."""
    num_rows, dim, num_clusters = shape
    rows = make_rows(num_rows, dim, seed=0)
    chosen = torch.randperm(num_rows, generator=torch.Generator().manual_seed(1))
    start = rows[chosen[:num_clusters]].clone()
    probe = rows[:4096]
    times: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    fits: dict[str, Fit] = {}
    for _ in range(rounds):
        calibrations = [seconds(torch.matmul, probe, start.T)[1:] for _ in range(5)]
        times.setdefault("sgemm", []).append(sorted(wall for wall, _ in calibrations)[2])
        processor.setdefault("sgemm", []).append(sorted(used for _, used in calibrations)[2])
        for name, run in contenders().items():
            fits[name], elapsed, used = seconds(run, rows, start)
            times.setdefault(name, []).append(elapsed)
            processor.setdefault(name, []).append(used)
    reference = mean_distance(rows, run_fp32(rows, start).labels, num_clusters)
    flops = 2.0 * num_rows * dim * num_clusters  # of one assignment
    sgemm = 2.0 * len(probe) * dim * num_clusters / np.median(times["sgemm"])
    result: dict[str, Any] = {
        "sgemm_gflops": sgemm / 1e9,
        "seconds": {name: spread(values) for name, values in times.items()},
        "processor_seconds": {name: spread(values) for name, values in processor.items()},
        "quality": {},
    }
    for name, fit in fits.items():
        labels = fit.labels
        if name == "ours":  # what predict answers for the centroids that were returned
            labels = KMeans(num_clusters).predict(rows, fit.centroids)
        counts = torch.bincount(fit.labels, minlength=num_clusters)
        objective = mean_distance(rows, fit.labels, num_clusters)
        result["quality"][name] = {
            "assignments": fit.assignments,
            "speed_over_sgemm": flops * fit.assignments / float(np.median(times[name])) / sgemm,
            "speed_over_sgemm_by_processor_time": flops
            * fit.assignments
            / float(np.median(processor[name]))
            / (sgemm * np.median(times["sgemm"]) / np.median(processor["sgemm"])),
            "objective_over_fp32_lloyd_minus_1": objective / reference - 1.0,
            "wrong_labels": wrong_labels(rows, labels, fit.centroids),
            "empty_clusters": int((counts == 0).sum()),
        }
    for other in fits.keys() - {"ours"}:
        for key, by in (("", times), ("_by_processor_time", processor)):
            ratios = [theirs / ours for theirs, ours in zip(by[other], by["ours"], strict=True)]
            result[f"{other}_over_ours{key}"] = spread(ratios)
            share = fits["ours"].assignments / fits[other].assignments
            result[f"{other}_over_ours_per_assignment{key}"] = spread([r * share for r in ratios])
    result["rescored"] = {
        name: rescored(rows, centroids)
        for name, centroids in (("first", start), ("last", fits["ours"].centroids))
    }
    return result


def rescored(rows: Tensor, centroids: Tensor) -> float:
    """Share of rows that the first product did not certify."""
    shift = rows.mean(dim=0)
    search = CentroidSearch(centroids, "l2", shift)
    search.assign(SearchRows(RowSource(rows), "l2", shift))
    return search.num_rescored / search.num_rows


def measure_warm(shape: tuple[int, int, int], drift: float, rounds: int) -> dict[str, Any]:
    """5 iterations from the labels of before beside 20 from random rows."""
    num_rows, dim, num_clusters = shape
    rows = make_rows(num_rows, dim, seed=0)
    before = KMeans(num_clusters, ITERATIONS).fit(rows, 0)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(7)) / dim**0.5
    moved = l2_normalize(rows + drift * noise)

    def run_warm() -> ClusterResult:
        return KMeans(num_clusters, WARM_ITERATIONS).fit(moved, 1, assignments=before.assignments)

    ratios: list[tuple[float, ...]] = []
    for _ in range(rounds):
        cold, *cold_times = seconds(KMeans(num_clusters, ITERATIONS).fit, moved, 1)
        warm, *warm_times = seconds(run_warm)
        ratios.append(tuple(w / c for w, c in zip(warm_times, cold_times, strict=True)))
    return {
        "drift": drift,
        "objective_over_cold_minus_1": warm.objective / cold.objective - 1.0,
        "time_over_cold": spread([wall for wall, _ in ratios]),
        "time_over_cold_by_processor_time": spread([used for _, used in ratios]),
        "iterations": [warm.num_iters, cold.num_iters],
    }


def one_process(rank: int, world_size: int, folder: str, shape: tuple[int, int, int]) -> None:
    """Fits this process's rows and writes labels and the bytes of each message."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store_{world_size}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    sent: list[int] = []
    plain = row_share.all_reduce

    def counted(values: Tensor, *options: Any) -> None:
        sent.append(values.numel() * values.element_size())
        plain(values, *options)

    row_share.all_reduce = counted
    share = RowShare.of_this_process(shape[0])
    rows = make_rows(shape[0], shape[1], seed=0)[share.start : share.stop]
    result = KMeans(shape[2], ITERATIONS).fit(rows, 0, share=share)
    torch.save(
        {
            "labels": result.assignments,
            "centroids": result.centroids,
            "objective": result.objective,
            # Beside those of the iterations there are few, at the start, and they are smaller.
            "bytes": max(sent) if world_size > 1 else 0,
            "messages": len(sent),
            "iterations": result.num_iters,
        },
        Path(folder) / f"{world_size}_{rank}.pt",
    )
    dist.barrier()
    dist.destroy_process_group()


def measure_processes(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Whether 1, 2 and 4 processes end with the same bits, and what they send."""
    found: dict[int, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for world_size in (1, 2, 4):
            mp.spawn(one_process, (world_size, folder, shape), nprocs=world_size)
            found[world_size] = [
                torch.load(Path(folder) / f"{world_size}_{rank}.pt") for rank in range(world_size)
            ]
    one = found[1][0]
    everyone = [result for results in found.values() for result in results]
    return {
        "shape": shape,
        "labels_equal": all(torch.equal(r["labels"], one["labels"]) for r in everyone),
        "centroids_equal": all(torch.equal(r["centroids"], one["centroids"]) for r in everyone),
        "objectives_equal": all(r["objective"] == one["objective"] for r in everyone),
        "bytes_per_rank_and_iteration": max(result["bytes"] for result in everyone),
        "limit": shape[2] * (shape[1] + 1) * 8 + 64,
        "messages": max(result["messages"] for result in everyone),
        "iterations": one["iterations"],
    }


def targets(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures that have a limit, on a CPU without AMX."""
    rows: list[tuple[str, float, str, float]] = []
    for name, shape in result["shapes"].items():
        for other, limit in (("faiss", 1.0), ("sklearn", 2.0)):
            if f"{other}_over_ours" in shape:
                ratio = shape[f"{other}_over_ours"]["median"]
                rows.append((f"{name}: {other} / ours", ratio, ">=", limit))
        rows.append((f"{name}: wrong labels", shape["quality"]["ours"]["wrong_labels"], "<=", 0))
    for warm in result.get("warm", ()):
        name = f"warm start, drift {warm['drift']}"
        rows.append((f"{name}: time / cold", warm["time_over_cold"]["median"], "<=", 0.3))
        worse = warm["objective_over_cold_minus_1"]
        rows.append((f"{name}: objective / cold - 1", worse, "<=", 0.001))
    if "processes" not in result:
        return verdicts(rows)
    processes = result["processes"]
    different = float(not processes["labels_equal"])
    rows.append(("processes: different labels", different, "<=", 0))
    sent = processes["bytes_per_rank_and_iteration"]
    rows.append(("processes: bytes per iteration", sent, "<=", processes["limit"]))
    return verdicts(rows)


def verdicts(rows: list[tuple[str, float, str, float]]) -> dict[str, dict[str, Any]]:
    """Values beside their limits."""
    return {
        name: {
            "value": value,
            "limit": f"{sign} {limit:g}",
            "met": value <= limit if sign == "<=" else value >= limit,
        }
        for name, value, sign, limit in rows
    }


def parse_shape(text: str) -> tuple[int, int, int]:
    """``N,D,K`` as numbers."""
    parts = [int(part) for part in text.split(",")]
    if len(parts) != 3 or not 0 < parts[2] <= parts[0]:
        raise argparse.ArgumentTypeError(f"{text!r} is not N,D,K with K at most N")
    return parts[0], parts[1], parts[2]


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", type=parse_shape, help=f"N,D,K ({SHAPES})")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all contenders (3)")
    parser.add_argument("--small", action="store_true", help=f"shapes {SMALL_SHAPES}")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="file for machine, settings and figures")
    args = parser.parse_args(arguments)
    if args.shapes is None:
        args.shapes = [parse_shape(text) for text in (SMALL_SHAPES if args.small else SHAPES)]
    return args


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    args = parse_args(arguments)
    set_threads(args.threads)
    began = time.perf_counter()
    result: dict[str, Any] = result_of("kmeans", arguments, args, "faiss", "sklearn") | {
        "arithmetic": [str(step.dtype) for step in ladder(torch.device("cpu"))],
        "shapes": {},
    }
    for shape in args.shapes if "shapes" in args.parts else ():
        name = f"N={shape[0]} D={shape[1]} K={shape[2]}"
        result["shapes"][name] = measure_shape(shape, args.rounds)
    if "warm" in args.parts:
        result["warm"] = [measure_warm(args.shapes[0], drift, args.rounds) for drift in (0.1, 0.3)]
    if "processes" in args.parts:
        size = (3000, 16, 40) if args.small else (20000, 64, 200)
        result["processes"] = measure_processes(size)
    result["targets"] = targets(result)
    result["seconds"] = time.perf_counter() - began
    print_result(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


def print_result(result: dict[str, Any]) -> None:
    """A table a person can read."""
    print(f"{result['command']}\n{result['machine']}\n{result['versions']}")
    print(f"arithmetic: {result['arithmetic']}\n")
    for name, shape in result["shapes"].items():
        print(f"{name}   sgemm {shape['sgemm_gflops']:.0f} GFLOP/s")
        for contender in shape["quality"]:
            time_, used = (shape[key][contender] for key in ("seconds", "processor_seconds"))
            quality = "  ".join(
                f"{key} {value:.3g}" for key, value in shape["quality"][contender].items()
            )
            print(
                f"  {contender:8} {time_['median']:8.2f} s [{time_['p25']:.2f}, "
                f"{time_['p75']:.2f}]  processor {used['median']:.2f} s  {quality}"
            )
        for key, value in shape.items():
            if "over_ours" in key or key == "rescored":
                print(f"  {key}: {value}")
    for part in (*result.get("warm", ()), result.get("processes", "")):
        print(part)
    for name, row in result["targets"].items():
        verdict = "met" if row["met"] else "MISSED"
        print(f"{name:50} {row['value']:12.4g}   {row['limit']:10}   {verdict}")
    print(f"{result['seconds']:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
