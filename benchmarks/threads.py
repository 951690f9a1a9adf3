"""Threads of torch and data workers: which share of the cores trains fastest on a CPU.

    python benchmarks/threads.py --json threads.json     # minutes
    python benchmarks/threads.py --small

Trains from the loader, augmentation included, with 1, 2, ... threads, in turns: images transformed
one by one by two data workers, and held images transformed in batches. ``engine/threads.py`` leaves
two cores to data workers and the rest, at least one, to torch, and all cores where images are held;
what it would choose here is the setting that others are compared with. An epoch of some batches
is timed from the first request to the last step.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import add_common_options, finish, goal, result_of, take_turns
from mmengine.logging import MMLogger
from training_loop import CASES, LOADERS, SMALL, Case, cut_epoch, prepared_runner

from mmdeepcluster.engine import get_algorithm
from mmdeepcluster.models import OnlineAlgorithm

# The rule is fine where no other setting is faster by more than this.
MOST_FASTER = 1.1


def contender(case: Case, threads: int, kind: str, batches: int, folder: Path) -> Callable:
    """A function that trains for an epoch of so many batches."""
    runner = prepared_runner(case, folder, augmented=True, options=LOADERS[kind])
    algorithm, loader = get_algorithm(runner), runner.train_dataloader
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    cut_epoch(loader, batches * case.batch_size)
    algorithm.train()

    def run() -> None:
        torch.set_num_threads(threads)
        for batch in loader:
            algorithm.train_step(batch, wrapper)
            if isinstance(algorithm, OnlineAlgorithm):
                algorithm.update_memory()

    run()
    return run


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=5)
    parser.add_argument(
        "--cases", nargs="+", choices=list(CASES), default=["odc_lenet5", "odc_convnet"]
    )
    args = parser.parse_args(arguments)
    MMLogger.get_instance("mmengine", log_level="ERROR")
    cores = os.cpu_count() or 1
    rule = {"2 data workers": max(1, cores - 2), "images held": cores}
    result: dict[str, Any] = result_of("threads", arguments, args)
    result |= {"rule": rule, "cases": {}, "targets": {}}
    cases = dict(list(SMALL.items())[:1]) if args.small else {n: CASES[n] for n in args.cases}
    for name, case in cases.items():
        batches = 3 if args.small else (6 if name == "odc_r18" else 60)
        settings = {
            (threads, kind): f"{threads} threads, {kind}"
            for threads in sorted({1, *rule.values()})
            for kind in LOADERS
        }
        with tempfile.TemporaryDirectory() as folder:
            turns = take_turns(
                {
                    label: contender(case, *key, batches, Path(folder) / label.replace(" ", "_"))
                    for key, label in settings.items()
                },
                2 if args.small else args.rounds,
            )
        seconds = turns.seconds()
        found = {
            label: batches * case.batch_size / seconds[label]["wall"]["median"]
            for label in settings.values()
        }
        result["cases"][name] = {"images_per_second": found, "seconds": seconds}
        for label, rate in found.items():
            others = seconds[label]["foreign"]["median"]
            print(f"{name:12} {label:24} {rate:9.1f} images/s   others {others:.0%}")
        for kind, threads in rule.items():
            of_rule = settings[threads, kind]
            best = max(found[label] for (_, k), label in settings.items() if k == kind)
            result["targets"][f"{name}, {kind}: fastest / rule"] = goal(
                best / found[of_rule], "<=", MOST_FASTER
            )
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
