"""k-means in W processes with N / W rows each, beside one process with N / W rows.

    python benchmarks/kmeans_ranks.py --json kmeans_ranks.json     # 2 processes, a minute
    python benchmarks/kmeans_ranks.py --small

In turns one process clusters N / W rows into K clusters; W processes cluster N / W rows each, on
their own, at the same time; and W processes cluster N rows together, N / W each; gloo, one thread
each. What *together* takes longer than *on their own* is what the processes tell each other and
wait; what *on their own* takes longer than *alone* is the machine: cores that share memory, caches
and a clock. Needs as many free cores as processes: with fewer the processor time of the slowest is
compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from harness import (
    LEAST_ROUNDS,
    MOST_FOREIGN,
    add_common_options,
    busy_seconds,
    finish,
    ratio_goal,
    result_of,
    spread,
)
from kmeans import make_rows

from mmdeepcluster.clustering import KMeans, RowShare

MOST_RATIO = 1.1
KINDS = ("alone", "on their own", "together")


def one_process(rank: int, world_size: int, folder: str, args: argparse.Namespace) -> None:
    """Clusters in turn alone and together; the first process writes the seconds of each."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    rows = make_rows(args.num_rows, args.dim, seed=0)
    share = RowShare.of_this_process(args.num_rows)
    own = rows[share.start : share.stop].clone()
    del rows
    fitter = KMeans(args.num_clusters, args.iterations)
    found: dict[str, list[list[float]]] = {name: [] for name in KINDS}
    for _ in range(args.rounds):
        for name in found:
            dist.barrier()
            busy, start, used = busy_seconds(), time.perf_counter(), time.process_time()
            if name == "together":
                result = fitter.fit(own, 0, share=share)
            elif rank == 0 or name == "on their own":
                result = fitter.fit(own, 0)
            wall, processor = time.perf_counter() - start, time.process_time() - used
            everyone = torch.tensor([processor])
            largest, total = everyone.clone(), everyone.clone()
            dist.all_reduce(largest, dist.ReduceOp.MAX)
            dist.all_reduce(total)
            others = (busy_seconds() - busy - float(total)) / (wall * (os.cpu_count() or 1))
            if rank == 0:
                per = result.num_iters + 1
                found[name].append([wall / per, float(largest) / per, max(0.0, others)])
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    dist.barrier()
    dist.destroy_process_group()


def ratio(found: dict[str, list[list[float]]], over: str, under: str) -> dict[str, Any]:
    """Spread of the ratio of the seconds of a pass, within rounds that were quiet if there are."""
    pairs = list(zip(found[over], found[under], strict=True))
    quiet = [pair for pair in pairs if max(one[2] for one in pair) <= MOST_FOREIGN]
    clock = "wall" if len(quiet) >= LEAST_ROUNDS else "processor"
    column, used = (0, quiet) if clock == "wall" else (1, pairs)
    return spread([high[column] / low[column] for high, low in used]) | {"clock": clock}


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=5)
    parser.add_argument("--num-rows", type=int, default=100_000, help="of all processes")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--num-clusters", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args(arguments)
    if args.small:
        args.num_rows, args.dim, args.num_clusters, args.rounds = 4096, 16, 20, 2
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(one_process, (args.processes, folder, args), nprocs=args.processes)
        found = torch.load(Path(folder) / "found.pt")
    result: dict[str, Any] = result_of("kmeans_ranks", arguments, args)
    result["seconds_per_pass"] = {
        kind: {
            "wall": spread([one[0] for one in values]),
            "processor": spread([one[1] for one in values]),
            "foreign": spread([one[2] for one in values]),
        }
        for kind, values in found.items()
    }
    targets: dict[str, Any] = {}
    for under in ("alone", "on their own"):
        compared = ratio(found, "together", under)
        targets[f"{args.processes} processes together / {under}"] = ratio_goal(
            compared, "<=", MOST_RATIO, id="P9"
        )
    machine = ratio(found, "on their own", "alone")
    print(f"on their own / alone, the machine: {machine}")
    result |= {"on_their_own_over_alone": machine, "targets": targets}
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
