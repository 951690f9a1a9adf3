"""New labels for all samples and a sampler that draws by them, as at the start of a cycle.

    python benchmarks/label_swap.py --json label_swap.json     # N = 1,281,167, seconds
    python benchmarks/label_swap.py --small

*Swap* is the label bank taking an assignment (range, sizes, no empty cluster), the sampler taking
the labels, and its first batch of an epoch, whose order is made then. Beside it the handling of the
released DeepCluster, written anew: labels as Python numbers, a list of images for each cluster, and
draws from these lists. No data worker is started anew for either.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from harness import add_common_options, finish, goal, result_of, take_turns

from mmdeepcluster.datasets import UniformClusterSampler
from mmdeepcluster.models import LabelBank

MOST_SECONDS = 0.4


def our_swap(bank: LabelBank, sampler: UniformClusterSampler, labels: torch.Tensor) -> None:
    """Labels into bank and sampler, and the first draw."""
    bank.assign_all(labels)
    sampler.set_labels(bank.all_labels())
    next(iter(sampler))


def reference_swap(labels: np.ndarray, num_clusters: int) -> np.ndarray:
    """Lists by cluster, from each as many draws, shuffled."""
    members: list[list[int]] = [[] for _ in range(num_clusters)]
    for index, label in enumerate(labels.tolist()):
        members[label].append(index)
    rng, size = np.random.default_rng(0), len(labels) // num_clusters + 1
    draws = np.concatenate(
        [rng.choice(images, size, replace=len(images) <= size) for images in members]
    )
    rng.shuffle(draws)
    return draws[: len(labels)]


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=5)
    parser.add_argument("--num-samples", type=int, default=1_281_167)
    parser.add_argument("--num-clusters", type=int, default=10_000)
    args = parser.parse_args(arguments)
    if args.small:
        args.num_samples, args.num_clusters, args.rounds = 20_000, 100, 2
    if args.threads:
        torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(args.num_clusters, (args.num_samples,), generator=generator)
    labels[: args.num_clusters] = torch.arange(args.num_clusters)
    bank = LabelBank(args.num_samples, args.num_clusters)
    sampler = UniformClusterSampler(args.num_samples, seed=0)
    turns = take_turns(
        {
            "ours": lambda: our_swap(bank, sampler, labels),
            "reference": lambda: reference_swap(labels.numpy(), args.num_clusters),
        },
        args.rounds,
    )
    result: dict[str, Any] = result_of("label_swap", arguments, args)
    clock = turns.clock(("ours",))
    seconds = turns.seconds()["ours"][clock]["median"]
    result |= {
        "seconds": turns.seconds(),
        "reference_over_ours": turns.ratio("reference", "ours"),
        "targets": {"swap, seconds": goal(seconds, "<=", MOST_SECONDS, id="P10", clock=clock)},
    }
    print(f"ours {seconds:.3f} s by {clock} time; reference / ours {result['reference_over_ours']}")
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
