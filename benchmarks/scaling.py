"""Memory, time and traffic of DeeperCluster at sizes that fit no test machine.

    python benchmarks/scaling.py --check --json docs/results/scaling.json     # some 10 minutes
    python benchmarks/scaling.py --tables --into docs/scaling.md              # from that file
    python benchmarks/scaling.py --small --check         # seconds, for a look

Runs the phases of a cycle at small sizes with the code of this repository: k-means on rows in
memory and in a mapped file, PCA, picking rows, labels and sampler, a checkpoint of labels, and the
peak memory of each. Fits a cost for each kind of work (:mod:`scaling_model`), then ``--check``
predicts a larger run, two-level k-means of 2,000,000 x 256 mapped rows into 4 x 2,000 clusters in
one process, and measures it. The fastest of some rounds counts in the fit.

A bare product in fp32 and bf16 stands beside each figure, and what other processes took of the
machine. Where that is more than 5 % during the larger run, its processor time is compared instead
of its wall time. Data are synthetic: unit rows, a mixture of 2000 components whose spectrum decays.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import scaling_measure as measure
import torch
from harness import busy_seconds, resident_bytes, result_of
from scaling_fit import errors, fit_seconds, fit_sizes, rates
from scaling_model import seconds_per_cycle
from scaling_problem import Problem, Rates
from scaling_tables import MOST_FOREIGN, replace_tables, text_of_tables

from mmdeepcluster.clustering import ClusterResult, KMeans, TwoLevelKMeans

STORED = Path(__file__).parents[1] / "docs" / "results" / "scaling.json"
WITHIN, MOST_BYTES = 0.25, 8 * 2**30
CLUSTERING = ("level 1", "redistribution", "level 2")


class Plan(NamedTuple):
    """What is measured; names of the numbers stand in :mod:`scaling_measure`."""

    kmeans: list[tuple[str, int, int, int, int]]
    pca: list[tuple[int, int, int]]
    move: list[tuple[int, int]]
    labels: list[tuple[int, int]]
    memory: list[tuple[int, int, int]]
    check: tuple[int, int, int, int]


FULL = Plan(
    kmeans=[
        *(
            (kind, *shape)
            for kind in ("held", "mapped")
            for shape in [
                (200_000, 256, 4, 2),
                (200_000, 256, 4, 10),
                (200_000, 32, 4, 10),
                (40_000, 256, 500, 10),
                (40_000, 256, 2000, 10),
            ]
        ),
        ("held", 10_000, 1024, 1000, 10),
        ("held", 100_000, 256, 2000, 3),
        ("held", 40_000, 32, 2000, 10),
        ("held", 6_000, 1024, 4000, 3),
        ("held", 1_000, 8, 4, 10),
    ],
    pca=[
        (2_500, 2048, 2048),
        (2_500, 2048, 64),
        (20_000, 2048, 256),
        (20_000, 512, 256),
        (60_000, 512, 64),
    ],
    move=[(400_000, 256), (100_000, 1024)],
    labels=[(1_281_167, 10_000), (1_281_167, 100_000), (320_000, 10_000)],
    memory=[(4_000_000, 8, 4), (500_000, 128, 4), (20_000, 512, 8000), (16_000, 1024, 12_000)],
    check=(2_000_000, 256, 4, 2000),
)
SMALL = Plan(
    kmeans=[
        *(
            (kind, *shape)
            for kind in ("held", "mapped")
            for shape in [
                (4_000, 32, 4, 2),
                (4_000, 32, 4, 6),
                (4_000, 8, 4, 6),
                (2_000, 32, 50, 6),
            ]
        ),
        ("held", 1_000, 64, 200, 4),
    ],
    pca=[(500, 128, 16), (500, 128, 128), (2_000, 128, 16), (2_000, 64, 16)],
    move=[(4_000, 32)],
    labels=[(20_000, 100), (20_000, 2_000)],
    memory=[(100_000, 8, 4), (8_000, 64, 1000), (4_000, 128, 2000)],
    check=(20_000, 32, 4, 50),
)


def measure_all(plan: Plan, meter: measure.Meter, folder: Path) -> list[dict[str, Any]]:
    """All timed phases; prints each."""
    found = []
    for part in (
        measure.measure_kmeans(meter, folder, plan.kmeans),
        measure.measure_pca(meter, folder, plan.pca),
        measure.measure_move(meter, folder, plan.move),
        measure.measure_labels(meter, folder, plan.labels),
    ):
        for one in part:
            print_measurement(one)
            found.append(one)
    return found


def print_measurement(one: dict[str, Any]) -> None:
    """A line that a person can read."""
    size = " ".join(f"{name}={value}" for name, value in one["size"].items())
    print(
        f"{one['phase']:20} {size:48} {one['wall']:8.3f} s, processor {one['processor']:8.3f} s | "
        f"fp32 {one['fp32_gflops']:.0f}, bf16 {one['bf16_gflops']:.0f} GFLOP/s, others "
        f"{one['foreign']:.0%}",
        flush=True,
    )


def check(
    shape: tuple[int, int, int, int], found: dict[str, Rates], folder: Path, threads: int
) -> dict[str, Any]:
    """Predicts the larger run and measures it in a process of its own."""
    num_rows, dim, supers, subs = shape
    problem = Problem(num_rows, supers * subs, dim, num_super_clusters=supers)
    parts = {
        clock: {
            phase: seconds
            for phase, seconds in seconds_per_cycle(problem, own, in_memory=False).items()
            if phase in CLUSTERING
        }
        for clock, own in found.items()
    }
    prediction = {clock: sum(phases.values()) for clock, phases in parts.items()}
    print(f"\n{num_rows} x {dim} rows into {supers} x {subs} clusters; predicted: {prediction}")
    file = folder / "check.npy"
    measure.make_rows(file, num_rows, dim)
    meter = measure.Meter(1)
    before = meter.calibrate()
    numbers = [str(number) for number in (supers, subs, threads)]
    command = [sys.executable, str(Path(__file__).resolve()), "--run-check", str(file), *numbers]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(run.stdout.splitlines()[-1])
    clock = "wall" if measured["foreign"] <= MOST_FOREIGN else "processor"
    ratio = measured[clock] / prediction[clock]
    return {
        "shape": shape,
        "predicted": prediction,
        "predicted_parts": parts,
        "measured": measured,
        "calibrator_before": before,
        "calibrator_after": meter.calibrate(),
        "clock": clock,
        "measured_over_predicted": ratio,
        "within_25_percent": abs(ratio - 1.0) <= WITHIN,
        "within_8_GiB": measured["peak_bytes"] <= MOST_BYTES,
    }


def run_check(file: str, supers: str, subs: str, threads: str) -> None:
    """Clusters the mapped rows of a file in this process; prints times and the peak as JSON."""
    torch.set_num_threads(int(threads))
    rows = np.load(file, mmap_mode="r")
    start = resident_bytes("VmRSS")
    kmeans = TwoLevelKMeans(int(supers) * int(subs), int(supers), max_iters=10)
    parts: list[dict[str, Any]] = []
    plain = KMeans.fit

    def timed(self: KMeans, *given: Any, **options: Any) -> ClusterResult:
        wall, own = time.perf_counter(), time.process_time()
        result = plain(self, *given, **options)
        wall, own = time.perf_counter() - wall, time.process_time() - own
        found = {"wall": wall, "processor": own, "num_iters": result.num_iters}
        parts.append({"rows": result.num_samples, "clusters": self.num_clusters} | found)
        return result

    busy, wall, own = busy_seconds(), time.perf_counter(), time.process_time()
    with mock.patch.object(KMeans, "fit", timed):
        result = kmeans.fit(rows, 0)
    wall, own = time.perf_counter() - wall, time.process_time() - own
    others = busy_seconds() - busy - own
    sizes = torch.bincount(result.assignments // int(subs), minlength=int(supers))
    answer = {
        "wall": wall,
        "processor": own,
        "foreign": max(0.0, others / (wall * (torch.multiprocessing.cpu_count()))),
        "start_bytes": start,
        "peak_bytes": resident_bytes("VmHWM"),
        "num_iters": result.num_iters,
        "parts": parts,
        "super_clusters": sizes.tolist(),
        "empty": int((result.counts == 0).sum()),
    }
    print(json.dumps(answer))


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="predict and measure a larger run")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a look")
    parser.add_argument("--rounds", type=int, help="repetitions, the fastest counts (3; small: 1)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, help="where rows are written (a temporary one)")
    parser.add_argument("--json", type=Path, help="file for machine, settings and figures")
    parser.add_argument("--tables", action="store_true", help="print tables and measure nothing")
    parser.add_argument("--from", dest="stored", type=Path, default=STORED, help="for --tables")
    parser.add_argument("--into", type=Path, help="with --tables: document to put them into")
    parser.add_argument("--run-check", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    args.rounds = args.rounds or (1 if args.small else 3)
    return args


def main(arguments: list[str]) -> None:
    """Measures, fits, checks and prints."""
    args = parse_args(arguments)
    if args.run_check:
        run_check(*args.run_check)
        return
    if args.tables:
        text = text_of_tables(json.loads(args.stored.read_text()))
        print(text)
        if args.into:
            replace_tables(args.into, text)
        return
    torch.set_num_threads(args.threads)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        result = measure_and_fit(args, Path(folder))
    result |= result_of("scaling", arguments, args)
    result["seconds"] = time.perf_counter() - began
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def measure_and_fit(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Figures of all parts; prints them."""
    plan = SMALL if args.small else FULL
    meter = measure.Meter(args.rounds, 128 if args.small else 1024)
    measurements = measure_all(plan, meter, folder)
    memory = measure.measure_memory(folder, plan.memory, *plan.labels[0])
    backbone = measure.backbone_sizes()
    coefficients = {clock: fit_seconds(measurements, clock) for clock in measure.CLOCKS}
    result = {
        "measurements": measurements,
        "memory": memory,
        "backbone": backbone,
        "coefficients": coefficients,
        "errors": {clock: errors(measurements, own, clock) for clock, own in coefficients.items()},
        "sizes": asdict(fit_sizes(memory, backbone)),
    }
    for clock, own in coefficients.items():
        print(f"\n{clock}: seconds for a unit, relative error of the fit")
        for term, value in own.items():
            print(f"  {term:16} {value:.3e}")
        for phase, error in result["errors"][clock].items():
            print(f"  {phase:20} rms {error['rms']:.1%}, largest {error['largest']:+.1%}")
    print(f"\nsizes: {result['sizes']}\nbackbone: {backbone}")
    if args.check:
        found = {clock: rates(own, 0.0, 0.0, 0.0) for clock, own in coefficients.items()}
        result["check"] = check(plan.check, found, folder, args.threads)
        print(json.dumps(result["check"], indent=1))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
