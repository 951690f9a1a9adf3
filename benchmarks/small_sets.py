"""Training on a small set held in memory against the same config through per-image transforms.

    python benchmarks/small_sets.py --data DATA --json small_sets.json
    python benchmarks/small_sets.py --data DATA --config configs/odc/odc_convnet_cifar10.py

DATA is the folder of the torchvision set. One network is trained by turns on batches of each
loader: torchvision's transforms in this process and in data workers, and transforms on the device;
a turn is some iterations (forward, backward, step, memory), after some that are not counted. The
loaders alone, and the step alone on batches that are there already, take turns as well. Ratios are
medians over rounds, of images a second; the better of the per-image loaders counts. Processor time
is that of this process and its data workers: it says more on a machine that others use.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import add_common_options, finish, ratio_goal, result_of, spread
from mmengine.device import get_device
from mmengine.logging import MMLogger

from mmdeepcluster.datasets import ImageView, build_train_loader
from mmdeepcluster.engine import build_runner, get_algorithm, resolve_config, share_cores

ROOT = Path(__file__).parents[1]


LEAST = 5.0
DIGITS = ROOT / "configs/odc/odc_lenet5_digits.py"


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "configs/odc/odc_lenet5_fmnist.py"))
    parser.add_argument(
        "--data",
        default=os.environ.get("MMDEEPCLUSTER_DATA"),
        help="root of the data set ($MMDEEPCLUSTER_DATA)",
    )
    parser.add_argument("--num-workers", type=int, default=2, help="of the second per-image loader")
    add_common_options(parser, rounds=5)
    parser.add_argument("--iterations", type=int, default=40, help="of a turn")
    parser.add_argument("--warmup", type=int, default=6, help="iterations before each turn")
    args = parser.parse_args(arguments)
    if args.small:
        args.config, args.data, args.num_workers = str(DIGITS), None, 1
        args.rounds, args.iterations, args.warmup = 2, 2, 1
    return args


class Trainer:
    """The network of a config with its optimizer, and a step on a batch."""

    def __init__(self, args: argparse.Namespace, work_dir: str) -> None:
        options = {"dataset.root": args.data} if args.data else {}
        self.resolved = resolve_config(args.config, options)
        self.resolved.cfg.work_dir = work_dir
        self.resolved.cfg.train_dataloader.num_workers = 0
        self.runner = build_runner(self.resolved)
        self.algorithm = get_algorithm(self.runner)
        self.runner.optim_wrapper = self.runner.build_optim_wrapper(self.runner.optim_wrapper)
        generator = torch.Generator().manual_seed(0)
        shape = self.algorithm.num_samples, self.algorithm.feature_dim
        features = torch.randn(shape, generator=generator)
        self.algorithm.recluster(torch.nn.functional.normalize(features), seed=0)
        self.runner.model.train()

    def step(self, batch: dict[str, Any]) -> None:
        """One iteration, as the runner makes it."""
        self.runner.model.train_step(batch, optim_wrapper=self.runner.optim_wrapper)
        self.algorithm.update_memory()

    def loader(self, transforms: str, num_workers: int) -> Any:
        """Loader of the training images."""
        cfg = self.resolved.cfg
        options = {k: v for k, v in cfg.train_dataloader.items() if k != "in_memory_limit"}
        options |= {"transforms": transforms, "num_workers": num_workers}
        view = ImageView(self.resolved.dataset, cfg.train_pipeline, name="train_pipeline")
        return build_train_loader(view, seed=0, device=get_device(), **options)


def forever(loader: Any) -> Iterator[dict[str, Any]]:
    """Batches of epoch after epoch."""
    for epoch in itertools.count():
        loader.batch_sampler.sampler.set_epoch(epoch)
        yield from loader


def processor_seconds(loader: Any) -> float:
    """Processor time of this process and of the data workers of a loader, so far."""
    workers = getattr(getattr(loader, "_iterator", None), "_workers", ())
    seconds = time.process_time()
    for worker in workers:
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


class Contender:
    """Turns of one loader, with or without the step, or of the step alone."""

    def __init__(
        self, loader: Any, batches: Iterator[dict[str, Any]], step: Callable[[Any], Any] | None
    ) -> None:
        self.loader, self.batches, self.step = loader, batches, step
        self.wall: list[float] = []
        self.processor: list[float] = []

    def turn(self, args: argparse.Namespace) -> None:
        """Some iterations without a clock, then some with it; threads as a training would."""
        share_cores(self.loader)
        if args.threads:
            torch.set_num_threads(args.threads)
        self._run(args.warmup)
        begin, used = time.perf_counter(), processor_seconds(self.loader)
        number = self._run(args.iterations)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.wall.append((time.perf_counter() - begin) / number)
        self.processor.append((processor_seconds(self.loader) - used) / number)

    def _run(self, iterations: int) -> int:
        number = 0
        for batch in itertools.islice(self.batches, iterations):
            number += len(batch["sample_idx"])
            if self.step is not None:
                self.step(batch)
        return number


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Images a second of all, and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(args, folder)
        kinds = {
            "per image, 0 workers": ("torchvision", 0),
            f"per image, {args.num_workers} workers": ("torchvision", args.num_workers),
            "device": ("device", 0),
        }
        contenders = {}
        for name, kind in kinds.items():
            loader = trainer.loader(*kind)
            batches = forever(loader)
            contenders[f"training, {name}"] = Contender(loader, batches, trainer.step)
            contenders[f"loader, {name}"] = Contender(loader, batches, None)
        ready = list(itertools.islice(batches, 8))
        alone = itertools.cycle(ready)
        contenders["step alone"] = Contender(loader, alone, trainer.step)
        for number in range(args.rounds):
            # Each goes first as often as the others.
            order = list(contenders)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                contenders[name].turn(args)
        samples = trainer.algorithm.num_samples
    return {
        "config": str(Path(args.config).name),
        "num_samples": samples,
        "device": get_device(),
        "threads": torch.get_num_threads(),
        "contenders": {name: figures(c, samples) for name, c in contenders.items()},
        "ratios": {part: ratios(contenders, part) for part in ("training", "loader")},
        "share_of_step_alone": spread(
            np.divide(contenders["step alone"].wall, contenders["training, device"].wall).tolist()
        ),
    }


def figures(contender: Contender, num_samples: int) -> dict[str, Any]:
    """Images a second, processor time of an image, and seconds of an epoch."""
    return {
        "images_per_second": spread((1 / np.array(contender.wall)).tolist()),
        "processor_us_per_image": spread((1e6 * np.array(contender.processor)).tolist()),
        "epoch_seconds": num_samples * float(np.median(contender.wall)),
    }


def ratios(contenders: dict[str, Contender], part: str) -> dict[str, Any]:
    """How much faster the device is than the better per-image loader, by both clocks."""
    names = [n for n in contenders if n.startswith(f"{part}, per image")]
    best = min(names, key=lambda name: np.median(contenders[name].wall))
    ours, theirs = contenders[f"{part}, device"], contenders[best]
    return {
        "against": best,
        "wall": spread(np.divide(theirs.wall, ours.wall).tolist()),
        "processor": spread(np.divide(theirs.processor, ours.processor).tolist()),
    }


def main(arguments: list[str]) -> None:
    """Parses, measures, prints."""
    args = parse_args(arguments)
    MMLogger.get_current_instance().setLevel("ERROR")
    found = result_of("small_sets", arguments, args) | measure(args)
    training = found["ratios"]["training"]["wall"]
    found["targets"] = {
        f"{found['config']}: images/s, device / per image": ratio_goal(training, ">=", LEAST)
    }
    print(f"{found['config']} on {found['device']}, {found['threads']} threads")
    for name, row in found["contenders"].items():
        rate, used = row["images_per_second"], row["processor_us_per_image"]
        print(
            f"{name:32} {rate['median']:9.0f} images/s [{rate['p25']:.0f}, {rate['p75']:.0f}]   "
            f"{used['median']:8.1f} us of processor   epoch {row['epoch_seconds']:8.1f} s"
        )
    for part, row in found["ratios"].items():
        for clock in ("wall", "processor"):
            value = row[clock]
            print(
                f"{part}: device against {row['against']}, {clock}: {value['median']:.2f} "
                f"[{value['p25']:.2f}, {value['p75']:.2f}]"
            )
    print(
        f"training on the device reaches {found['share_of_step_alone']['median']:.0%} of the step"
    )
    finish(found, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
