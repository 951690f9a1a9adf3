"""A training step of ODC beside one of SimCLR from lightly, of the same backbone: a yardstick.

    pip install lightly
    python benchmarks/lightly_step.py --json lightly_step.json
    python benchmarks/lightly_step.py --small

ResNet-18 for images of 32x32, batches of 64 images on the device. SimCLR has no clusters and needs
two views of each image, so its step passes twice as many images through the network; both are
shown, images of the data set a second and views a second. lightly's head and loss stand in a plain
loop around this package's backbone. No goal: what a user of another method would wait for.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import add_common_options, finish, result_of, take_turns
from torch import Tensor
from training_loop import CASES, Case, begin_trainings, make_batches, prepared_runner

from mmdeepcluster.engine import get_algorithm

SMALL = Case("odc/odc_r18_cifar10.py", (3, 32, 32), 400, 8, 4, 1)


class SimCLRLoop:
    """lightly's SimCLR around a copy of the backbone, with the settings of the optimizer."""

    def __init__(self, algorithm: Any) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import SimCLRProjectionHead

        self.backbone = copy.deepcopy(algorithm.backbone).train()
        self.preprocessor = algorithm.data_preprocessor
        width = algorithm.backbone.out_channels
        self.head = SimCLRProjectionHead(width, width, 128).to(self.preprocessor.device)
        self.criterion = NTXentLoss()
        parameters = [*self.backbone.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=0.06, momentum=0.9, weight_decay=5e-4)

    def _project(self, batch: dict[str, Tensor]) -> Tensor:
        images = self.preprocessor(batch)["inputs"]
        projected: Tensor = self.head(self.backbone(images)[-1].mean(dim=(2, 3)))
        return projected

    def step(self, first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
        """One iteration on two views."""
        loss = self.criterion(self._project(first), self._project(second))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def measure(case: Case, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of both steps, in turns."""
    runner = prepared_runner(case, folder)
    algorithm = get_algorithm(runner)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    algorithm.train()
    batches = make_batches(case)
    peer = SimCLRLoop(algorithm)

    def ours() -> None:
        for step in range(case.block):
            algorithm.train_step(batches[step % len(batches)], wrapper)
            algorithm.update_memory()

    def theirs() -> None:
        for step in range(case.block):
            peer.step(batches[step % len(batches)], batches[(step + 1) % len(batches)])

    ours(), theirs()  # finds the fastest convolutions
    turns = take_turns({"ODC": ours, "SimCLR of lightly": theirs}, rounds)
    images = case.block * case.batch_size
    views = {"ODC": 1, "SimCLR of lightly": 2}
    seconds = {name: one["wall"]["median"] for name, one in turns.seconds().items()}
    return {
        "images_per_second": {name: images / value for name, value in seconds.items()},
        "views_per_second": {name: views[name] * images / v for name, v in seconds.items()},
        "simclr_over_odc_seconds": turns.ratio("SimCLR of lightly", "ODC"),
    }


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=7)
    args = parser.parse_args(arguments)
    begin_trainings(args)
    result = result_of("lightly_step", arguments, args, "lightly")
    with tempfile.TemporaryDirectory() as folder:
        case, rounds = (SMALL, 2) if args.small else (CASES["odc_r18"], args.rounds)
        result |= measure(case, rounds, Path(folder))
    for unit in ("images", "views"):
        for name, rate in result[f"{unit}_per_second"].items():
            print(f"{name:20} {rate:9.1f} {unit}/s")
    print(f"seconds of SimCLR / of ODC: {result['simclr_over_odc_seconds']}")
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
