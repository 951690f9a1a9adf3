"""What a network has learned: python tools/visualization/learned_features.py CONFIG --out DIR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write the filters of the first convolution, the images that activate units "
        "most, and images made for them by gradient ascent, as PNG files and one HTML page"
    )
    parser.add_argument("config", help="config file of a training")
    parser.add_argument(
        "--checkpoint",
        help="checkpoint of that training; default: the network that it starts from",
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--layers", nargs="+", metavar="NAME", help="default: four, from the first to the last"
    )
    parser.add_argument(
        "--units",
        nargs="+",
        type=int,
        metavar="N",
        help="units of each layer; default: the eight that vary most",
    )
    parser.add_argument(
        "--images", type=int, default=1000, metavar="N", help="images looked at; default: 1000"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="steps of an ascent; default: 80 to 200 by depth"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and looks."""
    args = parse_args()
    from mmdeepcluster.apis import learned_features

    learned_features(
        args.config,
        checkpoint=args.checkpoint,
        out=args.out,
        layers=args.layers,
        units=args.units,
        num_images=args.images,
        steps=args.steps,
        options=args.cfg_options,
    )


if __name__ == "__main__":
    run(main, interrupted="nothing was written")
