"""Where the time of a DeepCluster cycle goes: extraction, PCA, k-means, labels, training.

    python benchmarks/cycle.py --data DIR --json cycle.json     # CIFAR-10, minutes on a CPU
    python benchmarks/cycle.py --cfg-options model.features=from_training train_cfg.max_epochs=2
    python benchmarks/cycle.py --small                          # digits, seconds

Trains a config as ``tools/train.py`` would, but for the report before and after, and prints the
phases of each cycle with their shares; the goal is that of the cycles after the first, which also
decodes or resizes the images to extract. DIR is where torchvision keeps ``cifar-10-batches-py``;
defaults to the environment variable MMDEEPCLUSTER_DATA. Then *extraction* compares the pass over
the images with a bare loop (load, normalise, forward) over the same loader: P10.
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
from harness import add_common_options, finish, ratio_goal, result_of, spread, take_turns
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from mmdeepcluster.engine import (
    build_runner,
    cores_of_pass,
    eval_loader,
    get_algorithm,
    resolve_config,
    share_cores,
)
from mmdeepcluster.models import extract

CONFIGS = Path(__file__).parents[1] / "configs"
LEAST_TRAINING, LEAST_OF_BARE = 0.8, 0.95
PHASES = ("extract", "PCA", "k-means", "assign", "sampler", "train")


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common_options(parser, rounds=5)
    parser.add_argument("--config", default=str(CONFIGS / "deep_dive" / "cifar10_alexnet_micro.py"))
    parser.add_argument("--data", default=os.environ.get("MMDEEPCLUSTER_DATA"))
    parser.add_argument("--cycles", type=int, default=3, help="the first one also makes images")
    parser.add_argument(
        "--pass-images", type=int, default=5000, help="images of a bare loop (5000)"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    args = parser.parse_args(arguments)
    if args.small:
        args.config = str(CONFIGS / "deepcluster" / "deepcluster_lenet5_digits.py")
        args.rounds, args.pass_images = 2, 400
    return args


def run_cycles(args: argparse.Namespace, folder: Path) -> tuple[Any, Any, list[dict[str, float]]]:
    """Resolved config, runner, and seconds of each cycle by phase."""
    cfg = Config.fromfile(args.config)
    cfg.work_dir, cfg.evaluation, cfg.log_level = str(folder), {}, "ERROR"
    cfg.default_hooks.pop("report")  # measures the result, which is no part of a cycle
    options = {"train_cfg.max_epochs": args.cycles, **args.cfg_options}
    if args.small:
        options |= {"model.num_clusters": 20}
    elif args.data:
        options.setdefault("dataset.root", args.data)
    resolved = resolve_config(cfg, options)
    runner = build_runner(resolved)
    share_cores(runner.train_dataloader)
    if args.threads:
        torch.set_num_threads(args.threads)
    sampler = runner.train_dataloader.batch_sampler.sampler
    swaps = _time_sampler(sampler) if hasattr(sampler, "set_labels") else [0.0] * args.cycles
    runner.train()
    scalars = runner.message_hub.log_scalars
    cycles = []
    for number in range(args.cycles):
        found = {
            phase: float(scalars[f"cycle/seconds_{phase}"].data[0][number])
            for phase in PHASES
            if phase != "sampler"
        }
        found["sampler"] = swaps[number]
        for name in ("images_per_second", "share_step", "share_data", "share_rest"):
            found[f"training {name}"] = float(scalars[f"speed/{name}"].data[0][number])
        cycles.append(found)
    return resolved, runner, cycles


def _time_sampler(sampler: Any) -> list[float]:
    """Lets a sampler tell how long it took to be given labels."""
    seconds: list[float] = []
    plain = sampler.set_labels

    def timed(labels: Any) -> None:
        start = time.perf_counter()
        plain(labels)
        seconds.append(time.perf_counter() - start)

    sampler.set_labels = timed
    return seconds


@torch.no_grad()
def bare_pass(algorithm: Any, loader: Any) -> None:
    """The shortest loop: load, normalise, forward."""
    algorithm.eval()
    for batch in loader:
        inputs = algorithm.data_preprocessor(batch)["inputs"]
        algorithm.extract(inputs, ("neck",))


def print_cycles(cycles: list[dict[str, float]], num_samples: int) -> None:
    """The table of phases."""
    for number, cycle in enumerate(cycles, start=1):
        total = sum(cycle[phase] for phase in PHASES)
        print(f"cycle {number}: {total:.1f} s for {num_samples} images")
        for phase in PHASES:
            print(f"  {phase:10} {cycle[phase]:9.2f} s {cycle[phase] / total:7.1%}")
        print(
            f"  training {cycle['training images_per_second']:.0f} images/s: step "
            f"{cycle['training share_step']:.0%}, data {cycle['training share_data']:.0%}, rest "
            f"{cycle['training share_rest']:.0%}; extraction "
            f"{num_samples / max(cycle['extract'], 1e-9):.0f} images/s"
        )


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    args = parse_args(arguments)
    MMLogger.get_instance("mmengine", log_level="ERROR")
    result = result_of("cycle", arguments, args)
    with tempfile.TemporaryDirectory() as folder:
        resolved, runner, cycles = run_cycles(args, Path(folder))
        algorithm = get_algorithm(runner)
        wanted = list(range(min(args.pass_images, algorithm.num_samples)))
        loader = eval_loader(resolved, resolved.dataset, wanted)
        with cores_of_pass(loader):
            turns = take_turns(
                {
                    "bare": lambda: bare_pass(algorithm, loader),
                    "ours": lambda: extract(algorithm, loader),
                },
                args.rounds,
            )
    print_cycles(cycles, algorithm.num_samples)
    later = cycles[1:] or cycles
    shares = spread([c["train"] / sum(c[phase] for phase in PHASES) for c in later])
    speed = turns.ratio("bare", "ours")
    result |= {
        "num_samples": algorithm.num_samples,
        "eval_batch_size": resolved.cfg.eval_dataloader.batch_size,
        "cycles": cycles,
        "bare_over_extraction": speed,
        "extraction": turns.seconds(),
        "targets": {
            "share of a cycle in training": ratio_goal(shares, ">=", LEAST_TRAINING),
            "extraction / bare forward loop": ratio_goal(speed, ">=", LEAST_OF_BARE, id="P10"),
        },
    }
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
