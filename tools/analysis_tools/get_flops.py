"""Parameters and multiply-adds: python tools/analysis_tools/get_flops.py CONFIG [--shape 224]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Count parameters, multiply-adds and activations of a config"
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--shape", nargs="+", type=int, metavar=("H", "W"), help="default: what the pipelines make"
    )
    parser.add_argument(
        "--depth", type=int, help="sum up deeper modules; 0: backbone, neck and head alone"
    )
    parser.add_argument(
        "--dataset-size", type=int, help="number of images, instead of opening the data set"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and counts."""
    args = parse_args()
    from mmdeepcluster.apis import complexity, complexity_table

    found = complexity(
        args.config, args.shape, options=args.cfg_options, dataset_size=args.dataset_size
    )
    print(complexity_table(found, args.depth))


if __name__ == "__main__":
    run(main)
