"""What the switches of the training step are worth, each against the default, in one process.

    python benchmarks/step_options.py --json step_options.json     # minutes
    python benchmarks/step_options.py --cases odc_r18 --options fused channels_last

A contender is the same training with one switch on; all train on the same tensors, in turns of
some iterations: train step and update of the memory, no loading, no hooks. bf16 is
``tools/train.py --amp``. A switch is worth it where its ratio is above 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Turns, add_common_options, finish, result_of, take_turns
from training_loop import (
    CASES,
    SMALL,
    Case,
    begin_trainings,
    make_batches,
    prepared_runner,
)

from mmdeepcluster.engine import get_algorithm
from mmdeepcluster.models import OnlineAlgorithm

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "channels_last": {"channels_last": True},
    "fused": {"optim_wrapper.optimizer.fused": True},
    "compile": {"compile": True},
    "bf16": {"optim_wrapper.type": "BFloat16OptimWrapper"},
    "bf16_channels_last": {
        "optim_wrapper.type": "BFloat16OptimWrapper",
        "channels_last": True,
    },
}


def contender(case: Case, options: dict[str, Any], folder: Path) -> Callable[[], None]:
    """A function that trains for a block of iterations."""
    runner = prepared_runner(case, folder, options=options)
    algorithm = get_algorithm(runner)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner._maybe_compile("train_step")
    algorithm.train()
    batches = make_batches(case)

    def run() -> None:
        for step in range(case.block):
            algorithm.train_step(batches[step % len(batches)], wrapper)
            if isinstance(algorithm, OnlineAlgorithm):
                algorithm.update_memory()

    run()  # compiles, and finds the fastest convolutions
    return run


def measure(case: Case, names: list[str], rounds: int, folder: Path) -> Turns:
    """Turns of all contenders."""
    return take_turns(
        {name: contender(case, OPTIONS[name], folder / name) for name in names}, rounds
    )


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=5)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["odc_r18"])
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    args = parser.parse_args(arguments)
    begin_trainings(args)
    cases = SMALL if args.small else {name: CASES[name] for name in args.cases}
    names = ["default", *(name for name in args.options if name != "default")]
    result = result_of("step_options", arguments, args)
    result["speed_over_default"] = {}
    for case_name, case in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            turns = measure(case, names, 2 if args.small else args.rounds, Path(folder))
        found = {name: turns.ratio("default", name) for name in names[1:]}
        result["speed_over_default"][case_name] = found
        for name, ratio in found.items():
            print(
                f"{case_name:18} {name:20} {ratio['median']:.3f} "
                f"[{ratio['p25']:.3f}, {ratio['p75']:.3f}] by {ratio['clock']} time"
            )
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
