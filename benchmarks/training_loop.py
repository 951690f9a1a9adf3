"""The whole training loop beside a bare PyTorch loop of the same network, in one process.

    python benchmarks/training_loop.py --json training_loop.json      # minutes on a CPU
    python benchmarks/training_loop.py --cases odc_r18 --rounds 9
    python benchmarks/training_loop.py --small                        # seconds, for a look

*Loop*: both get the same tensors, already augmented and in uint8, and do the same with them:
scale, forward, cross-entropy over K classes, backward, SGD. Ours is the runner as
``tools/train.py`` starts it: all hooks, update of the memory and its centroids, loss weights, log
lines and scalars. Its loader hands out those tensors, and between two blocks of iterations it runs
a block of the bare loop: so they take turns without the runner noticing.

*Loader*: iterations with real loading and augmentation against the slower one of the loader alone
and the step alone; with two data workers, and with held images that the training process augments.

*Growth*: resident memory and number of tensors after 2,000 iterations of a small network.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from harness import (
    Turns,
    add_common_options,
    finish,
    goal,
    keep_freed_memory,
    ratio_goal,
    resident_bytes,
    result_of,
    spread,
)
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import MMLogger
from PIL import Image
from torch import Tensor

from mmdeepcluster.clustering.functional import l2_normalize
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import build_runner, get_algorithm, resolve_config, share_cores
from mmdeepcluster.models import OnlineAlgorithm
from mmdeepcluster.registry import DATASETS

CONFIGS = Path(__file__).parents[1] / "configs"
ON_GPU = torch.cuda.is_available()
MOST_OVERHEAD = 1.02 if ON_GPU else 1.05
LEAST_OF_BOUND = 0.95
MOST_GROWTH_BYTES = 16 * 2**20


class Case(NamedTuple):
    """A training to be compared.

    Attributes:
        config: File below ``configs``.
        shape: Of an image.
        num_samples: N.
        num_clusters: K.
        batch_size: Images of a step.
        block: Iterations of a turn.
        options: Further options of the config.
    """

    config: str
    shape: tuple[int, int, int]
    num_samples: int
    num_clusters: int
    batch_size: int
    block: int
    options: dict[str, Any] = {}


_NO_DROPOUT = {"model.neck.dropout": 0.0}
CASES = {
    "odc_r18": Case("odc/odc_r18_cifar10.py", (3, 32, 32), 50_000, 250, 64, 2),
    "odc_r50": Case(
        "odc/odc_r50.py",
        (3, 224, 224),
        200_000,
        10_000,
        64,
        1,
        {"model.memory.min_cluster_size": 2, **_NO_DROPOUT},
    ),
    "deepcluster_r50": Case(
        "deepcluster/deepcluster_r50.py", (3, 224, 224), 200_000, 10_000, 64, 1
    ),
    "odc_convnet": Case("odc/odc_convnet_cifar10.py", (3, 32, 32), 50_000, 250, 128, 50),
    "deepcluster_micro": Case(
        "deep_dive/cifar10_alexnet_micro.py", (3, 32, 32), 50_000, 1000, 64, 50
    ),
    "odc_lenet5": Case("odc/odc_lenet5_fmnist.py", (1, 32, 32), 60_000, 250, 128, 50),
}
if ON_GPU:
    CASES |= {
        name: CASES[name]._replace(batch_size=size, block=20)
        for name, size in (("odc_r18", 512), ("odc_r50", 256), ("deepcluster_r50", 256))
    }
LOADERS: dict[str, dict[str, Any]] = {
    "2 data workers": {
        "train_dataloader.transforms": "torchvision",
        "train_dataloader.num_workers": 2,
    },
    "images held": {
        "train_dataloader.transforms": "device",
        "train_dataloader.num_workers": 0,
    },
}
SMALL = {
    "odc_lenet5": Case("odc/odc_lenet5_fmnist.py", (1, 32, 32), 400, 8, 16, 3),
    "deepcluster_lenet5": Case(
        "deepcluster/deepcluster_lenet5_digits.py", (1, 32, 32), 400, 8, 16, 3
    ),
}


@DATASETS.register_module(force=True)
class NoiseImages(BaseImageDataset):
    """As many images as wanted, of which a few differ."""

    splits = ("train",)
    split = "train"

    def __init__(self, shape: tuple[int, int, int], num_samples: int) -> None:
        channels, height, width = shape
        self.num_samples = num_samples
        rng = np.random.default_rng(0)
        size = (64, height, width) if channels == 1 else (64, height, width, channels)
        self.pixels = rng.integers(0, 256, size, dtype=np.uint8)

    def __len__(self) -> int:
        return self.num_samples

    def load_image(self, index: int) -> Image.Image:
        """One of the 64."""
        return Image.fromarray(self.pixels[index % len(self.pixels)])

    def sample_name(self, index: int) -> str:
        """Its number."""
        return f"noise/{index}"

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields the size."""
        yield repr((self.num_samples, self.pixels.shape)).encode()


def begin_trainings(args: argparse.Namespace) -> None:
    """A quiet log, threads as a training has or as asked for, and memory that stays."""
    MMLogger.get_instance("mmengine", log_level="ERROR")
    share_cores()
    keep_freed_memory()
    if args.threads:
        torch.set_num_threads(args.threads)


def prepared_runner(
    case: Case, folder: Path, augmented: bool = False, options: dict[str, Any] | None = None
) -> Any:
    """The runner of a case, its first clustering given: random features, equal clusters."""
    cfg = Config.fromfile(str(CONFIGS / case.config))
    cfg.dataset = {"type": "NoiseImages", "shape": case.shape, "num_samples": case.num_samples}
    cfg.evaluation = {}
    cfg.work_dir = str(folder)
    if not augmented:
        cfg.train_pipeline = [{"type": "PILToTensor"}]
    cfg.eval_pipeline = [{"type": "PILToTensor"}]
    cfg.log_level = "ERROR"
    cfg.default_hooks.pop("report")  # what is measured after a training is no part of it
    resolved = resolve_config(
        cfg,
        {
            "model.num_clusters": case.num_clusters,
            "train_dataloader.batch_size": case.batch_size,
            "train_cfg.max_epochs": 1,
            **case.options,
            **(options or {}),
        },
    )
    runner = build_runner(resolved)
    algorithm = get_algorithm(runner)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randperm(case.num_samples, generator=generator) % case.num_clusters
    if isinstance(algorithm, OnlineAlgorithm):
        rows = torch.randn(case.num_samples, algorithm.feature_dim, generator=generator)
        algorithm.memory.fill(l2_normalize(rows), labels)
    else:
        algorithm.label_bank.assign_all(labels)
        algorithm._sample = torch.randn(2048, algorithm.feature_dim, generator=generator)
    algorithm.cycle = 1
    return runner


class FixedBatches:
    """Stands where a runner has its loader; calls back between blocks of iterations."""

    def __init__(
        self,
        loader: Any,
        batches: list[dict[str, Tensor]],
        block: int,
        rounds: int,
        turn: Callable[[str], Any],
        between: Callable[[], None],
    ) -> None:
        self.dataset, self.batch_sampler = loader.dataset, loader.batch_sampler
        self.batches, self.block, self.rounds = batches, block, rounds
        self.turn, self.between = turn, between

    def __len__(self) -> int:
        return self.block * (self.rounds + 1)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number in range(self.rounds + 1):
            # The first block warms up. One part of the rest begins with the bare loop.
            name = "warm-up" if number == 0 else "ours"
            if number % 2:
                self.between()
            with self.turn(name):
                for step in range(self.block):
                    yield self.batches[step % len(self.batches)]
            if number % 2 == 0 and number > 0:
                self.between()


def make_batches(case: Case, number: int = 3) -> list[dict[str, Tensor]]:
    """Batches of noise and of distinct samples."""
    generator = torch.Generator().manual_seed(1)
    shape = (case.batch_size, *case.shape)
    order = torch.randperm(case.num_samples, generator=generator)[: number * case.batch_size]
    return [
        {
            "inputs": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
            "sample_idx": samples,
        }
        for samples in order.split(case.batch_size)
    ]


def use_loader(runner: Any, loader: Any) -> None:
    """Lets a runner train on other batches, for one epoch."""
    runner.train_loop.dataloader = loader
    runner.train_loop._max_iters = len(loader)


class BareLoop:
    """What a person would write: a copy of the network and of the settings of the optimizer."""

    def __init__(self, runner: Any, labels: Tensor) -> None:
        algorithm = get_algorithm(runner)
        self.device = next(algorithm.parameters()).device
        self.backbone = copy.deepcopy(algorithm.backbone).train()
        self.neck = copy.deepcopy(algorithm.neck).train()
        self.head = copy.deepcopy(algorithm.head.fc)
        self.relu = not isinstance(algorithm, OnlineAlgorithm)
        self.mean, self.std = algorithm.data_preprocessor.mean, algorithm.data_preprocessor.std
        self.labels = labels.to(self.device)
        body = [*self.backbone.parameters(), *self.neck.parameters()]
        options = {"lr": 0.01, "weight_decay": 1e-5}
        self.optimizer = torch.optim.SGD(
            [
                {"params": body, "momentum": 0.9},
                {"params": list(self.head.parameters()), "momentum": 0.0},
            ],
            **options,
        )

    def step(self, batch: dict[str, Tensor]) -> None:
        """One iteration."""
        images = batch["inputs"].to(self.device, non_blocking=True)
        targets = self.labels[batch["sample_idx"].to(self.device, non_blocking=True)]
        features = self.neck(self.backbone((images.float() - self.mean) / self.std)[-1])
        loss = F.cross_entropy(self.head(F.relu(features) if self.relu else features), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def measure_loop(
    case: Case, rounds: int, folder: Path, options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Seconds of an iteration of both."""
    runner = prepared_runner(case, folder, options=options)
    batches, turns = make_batches(case), Turns()
    bare = BareLoop(runner, get_algorithm(runner).labels())
    bare.step(batches[0])

    def run_bare() -> None:
        with turns.turn("bare"):
            for step in range(case.block):
                bare.step(batches[step % len(batches)])

    loader = FixedBatches(
        runner.train_dataloader, batches, case.block, rounds, turns.turn, run_bare
    )
    use_loader(runner, loader)
    runner.train()
    turns.found.pop("warm-up")
    return {
        "case": case._asdict() | {"shape": list(case.shape)},
        "ratio": turns.ratio("ours", "bare"),
        "ratio_by_processor_time": turns.ratio("ours", "bare", "processor"),
        "ratio_by_wall_time": turns.ratio("ours", "bare", "wall"),
        "milliseconds_per_iteration": {
            name: {key: one[key]["median"] / case.block * 1e3 for key in ("wall", "processor")}
            for name, one in turns.seconds().items()
        },
    }


class LoaderTurns:
    """Alternates fixed batches and the real loader, whose epochs are cut to one block."""

    def __init__(
        self, loader: Any, batches: list[dict[str, Tensor]], block: int, rounds: int, turns: Turns
    ) -> None:
        self.dataset, self.batch_sampler = loader.dataset, loader.batch_sampler
        self.loader, self.batches = loader, batches
        self.block, self.rounds, self.turns = block, rounds, turns

    def __len__(self) -> int:
        return 2 * self.block * (self.rounds + 1)

    def _loaded(self) -> Iterator[dict[str, Tensor]]:
        # From the first request to the last batch: what an epoch of this length costs.
        return iter(self.loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number in range(self.rounds + 1):
            prefix = "warm-up " if number == 0 else ""
            with self.turns.turn(f"{prefix}loader"):
                for _ in self._loaded():
                    pass
            with self.turns.turn(f"{prefix}step"):
                for step in range(self.block):
                    yield self.batches[step % len(self.batches)]
            with self.turns.turn(f"{prefix}both"):
                yield from self._loaded()


def cut_epoch(loader: Any, num_samples: int) -> None:
    """Lets a loader of ``OwnerSampler`` draw the first samples alone."""
    sampler = loader.batch_sampler.sampler
    sampler.owned = sampler.owned[:num_samples]
    sampler.partition.owned = sampler.owned
    sampler.partition.num_samples = len(sampler.owned)


def measure_loader(case: Case, rounds: int, block: int, kind: str, folder: Path) -> dict[str, Any]:
    """Seconds of loading, of the step, and of both together, with the threads of a training."""
    runner = prepared_runner(case, folder, augmented=True, options=LOADERS[kind])
    loader, turns = runner.train_dataloader, Turns()
    share_cores(loader)
    cut_epoch(loader, block * case.batch_size)
    use_loader(runner, LoaderTurns(loader, make_batches(case), block, rounds, turns))
    runner.train()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    of_slower, of_machine = [], []
    for load, step, both in zip(*(turns.found[n] for n in ("loader", "step", "both")), strict=True):
        slower = max(load.wall, step.wall)
        work = (load.processor + step.processor) / (cores or 1)
        of_slower.append(slower / both.wall)
        of_machine.append(max(slower, work) / both.wall)
    return {
        "threads": torch.get_num_threads(),
        "batches": block,
        "images_per_second": {
            name: block * case.batch_size / turns.seconds()[name]["wall"]["median"]
            for name in ("loader", "step", "both")
        },
        "share_of_slower": spread(of_slower),
        # Loading and step share the cores of a machine without a GPU.
        "share_of_what_the_cores_allow": spread(of_machine),
        "foreign": turns.seconds()["both"]["foreign"]["median"],
    }


def measure_growth(case: Case, iterations: int, folder: Path) -> dict[str, Any]:
    """Memory and tensors after each quarter of a training."""
    runner = prepared_runner(case, folder)
    found: list[tuple[int, int]] = []
    block = iterations // 4

    def look() -> None:
        gc.collect()
        found.append((resident_bytes(), sum(torch.is_tensor(one) for one in gc.get_objects())))

    loader = FixedBatches(runner.train_dataloader, make_batches(case), block, 4, Turns().turn, look)
    use_loader(runner, loader)
    runner.train()
    return {
        "iterations": iterations,
        "resident_bytes": [rss for rss, _ in found],
        "tensors": [number for _, number in found],
        "growth_bytes": found[-1][0] - found[0][0],
        "growth_tensors": found[-1][1] - found[0][1],
    }


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common_options(parser, rounds=7)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--iterations", type=int, default=2000, help="of the growth (2000)")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, default={}, help="as tools/train.py"
    )
    return parser.parse_args(arguments)


PARTS = ("loop", "loader", "growth")
# LeNet-5 is so small that the memory alone, some 40 small operations, is 6 % of its step.
NO_LIMIT = ("odc_lenet5", "deepcluster_lenet5")


def main(arguments: list[str]) -> None:
    """Runs all measurements and prints them."""
    args = parse_args(arguments)
    begin_trainings(args)
    cases = SMALL if args.small else {name: CASES[name] for name in args.cases}
    rounds = min(args.rounds, 2) if args.small else args.rounds
    result = result_of("training_loop", arguments, args)
    result |= {"device": get_device(), "loop": {}, "targets": {}}
    targets = result["targets"]
    small = next(iter(SMALL.values()))
    # First, while this process has not been larger.
    if "growth" in args.parts:
        case = small if args.small else CASES["odc_lenet5"]
        found = quietly(measure_growth, case, 40 if args.small else args.iterations)
        result["growth"] = found
        print(f"growth: {found}")
        if not args.small:
            targets["growth: bytes"] = goal(found["growth_bytes"], "<=", MOST_GROWTH_BYTES)
        targets["growth: tensors"] = goal(found["growth_tensors"], "<=", 0)
    for name, case in cases.items() if "loop" in args.parts else ():
        found = quietly(measure_loop, case, rounds, options=args.cfg_options)
        result["loop"][name] = found
        print(f"{name}: {found['milliseconds_per_iteration']}", flush=True)
        if name in NO_LIMIT and not args.small:
            print(f"  ours / bare {found['ratio']['median']:.3f}, no limit")
            continue
        targets[f"{name}: loop / bare loop"] = ratio_goal(
            found["ratio"], "<=", MOST_OVERHEAD, id="P7"
        )
    if "loader" in args.parts:
        case = small if args.small else CASES["odc_convnet"]
        share = "share_of_slower" if ON_GPU else "share_of_what_the_cores_allow"
        result["loader"] = {}
        for kind in LOADERS:
            found = quietly(measure_loader, case, rounds, 4 if args.small else 60, kind)
            result["loader"][kind] = found
            print(f"with the loader, {kind}: {found}")
            targets[f"loader, {kind}: {share.replace('_', ' ')}"] = ratio_goal(
                found[share], ">=", LEAST_OF_BOUND
            )
    finish(result, args.json)


def quietly(measure: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Measures with the log of the training in a file alone."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(*args, folder=Path(folder), **kwargs)


if __name__ == "__main__":
    main(sys.argv[1:])
