"""The whole training loop beside a bare PyTorch loop of the same network, in one process.

    python benchmarks/training_loop.py --json training_loop.json      # minutes on a CPU
    python benchmarks/training_loop.py --cases odc_r18 --rounds 9
    python benchmarks/training_loop.py --small                        # seconds, for a look

*Loop*: both get the same tensors, already augmented and in uint8, and do the same with them: scale,
forward, cross-entropy over K classes, backward, SGD. Ours is the runner as ``tools/train.py`` starts
it: all hooks, update of the memory and its centroids, loss weights, log lines and scalars. Its loader
hands out those tensors, and between two blocks of iterations it runs a block of the bare loop: so
they take turns without the runner noticing.

*Loader*: iterations with real loading and augmentation against the slower one of the loader alone
and the step alone, data workers as configured.

*Growth*: resident memory and number of tensors after 2,000 iterations of a small network.
"""

from __future__ import annotations

import argparse
import copy
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from harness import (
    Turns,
    add_common_options,
    busy_seconds,
    finish,
    own_seconds,
    ratio_goal,
    resident_bytes,
    result_of,
    goal,
)
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from PIL import Image
from torch import Tensor, nn

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
    "odc_r18": Case("odc/odc_r18_cifar10.py", (3, 32, 32), 50_000, 250, 64, 4),
    "odc_r50": Case(
        "odc/odc_r50.py", (3, 224, 224), 200_000, 10_000, 16, 2,
        {"model.memory.min_cluster_size": 2, **_NO_DROPOUT},
    ),
    "deepcluster_r50": Case(
        "deepcluster/deepcluster_r50.py", (3, 224, 224), 200_000, 10_000, 16, 2
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
        self, loader: Any, batches: list[dict[str, Tensor]], block: int, rounds: int,
        turn: Callable[[str], Any], between: Callable[[], None],
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


def measure_loop(case: Case, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of an iteration of both."""
    runner = prepared_runner(case, folder)
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
            name: {key: value["median"] / case.block * 1e3 for key, value in one.items()}
            for name, one in turns.seconds().items()
        },
    }
