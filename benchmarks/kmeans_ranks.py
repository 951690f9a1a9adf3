"""k-means in W processes with N / W rows each, beside one process with N / W rows.

    python benchmarks/kmeans_ranks.py --json kmeans_ranks.json     # 2 processes, a minute
    python benchmarks/kmeans_ranks.py --small

One process clusters N / W rows into K clusters, then W processes cluster N rows, N / W each, in
turns; gloo, one thread each. What the W take longer is what they tell each other and wait. Needs as
many free cores as processes: with fewer the processor time of the slowest is compared.
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
from harness import MOST_FOREIGN, add_common_options, busy_seconds, finish, goal, result_of, spread
from kmeans import make_rows

from mmdeepcluster.clustering import KMeans, RowShare

MOST_RATIO = 1.1


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
    found: dict[str, list[list[float]]] = {"alone": [], "together": []}
    for _ in range(args.rounds):
        for name in found:
            dist.barrier()
            busy, start, used = busy_seconds(), time.perf_counter(), time.process_time()
            if name == "together":
                result = fitter.fit(own, 0, share=share)
            elif rank == 0:
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
    pairs = list(zip(found["together"], found["alone"], strict=True))
    quiet = [pair for pair in pairs if max(one[2] for one in pair) <= MOST_FOREIGN]
    clock = "wall" if len(quiet) >= 3 else "processor"
    column, used = (0, quiet) if clock == "wall" else (1, pairs)
    ratio = spread([together[column] / alone[column] for together, alone in used])
    result: dict[str, Any] = result_of("kmeans_ranks", arguments, args)
    name = f"{args.processes} processes with N/{args.processes} rows / one with so many"
    result |= {
        "seconds_per_pass": {
            kind: {
                "wall": spread([one[0] for one in values]),
                "processor": spread([one[1] for one in values]),
                "foreign": spread([one[2] for one in values]),
            }
            for kind, values in found.items()
        },
        "together_over_alone": ratio | {"clock": clock},
        "targets": {name: goal(ratio["median"], "<=", MOST_RATIO, id="P9", clock=clock)},
    }
    print(f"together / alone {ratio} by {clock} time, of one pass over the rows")
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
