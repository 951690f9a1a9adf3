"""A method, step by step: python tools/visualization/explore_pipeline.py CONFIG IMAGE ..."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write one HTML page that walks images through every stage of the method of a "
        "config, with the real network: augmentation, features, whitening, k-means, sampling, a "
        "training step and the next cycle"
    )
    parser.add_argument("config", help="config file of a training")
    parser.add_argument(
        "image", nargs="*", help="image file to follow; default: some images of the data set"
    )
    parser.add_argument(
        "--checkpoint",
        help="checkpoint of that training; default: the network that it starts from",
    )
    parser.add_argument("--out", default="explore.html", help="default: explore.html")
    parser.add_argument(
        "--images",
        type=int,
        default=512,
        metavar="N",
        help="images of the data set that are clustered with them; default: 512",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="training steps between the two clusterings, after the first; default: an epoch of "
        "these images",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and explores."""
    args = parse_args()
    from mmdeepcluster.apis import explore_pipeline

    explore_pipeline(
        args.config,
        args.image,
        checkpoint=args.checkpoint,
        out=args.out,
        num_images=args.images,
        num_steps=args.steps,
        options=args.cfg_options,
    )


if __name__ == "__main__":
    run(main, interrupted="nothing was written")
