"""Looks at every image of a data set: python tools/misc/verify_dataset.py CONFIG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Decode all images of a config, run the evaluation pipeline on them and list "
        "what a training could not use or its owner may not know of",
        epilog="The exit status is 1 if a training could not use an image.",
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--out", "--out-path", help="CSV; default: work_dirs/<config stem>/verify_dataset.csv"
    )
    parser.add_argument(
        "--num-process", type=int, help="images at once, by threads; default: the usable cores"
    )
    parser.add_argument(
        "--max-ratio", type=float, default=4.0, help="of sides, above it elongated; default: 4"
    )
    parser.add_argument(
        "--min-side",
        type=int,
        help="shorter side, below it tiny; default: half of what the pipeline makes",
    )
    parser.add_argument("--split", help="another split of the config's data set")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and looks."""
    args = parse_args()
    from mmdeepcluster.apis import verify_dataset

    out = args.out or Path("work_dirs") / Path(args.config).stem / "verify_dataset.csv"
    found = verify_dataset(
        args.config,
        out=out,
        num_threads=args.num_process,
        max_ratio=args.max_ratio,
        min_side=args.min_side,
        split=args.split,
        options=args.cfg_options,
    )
    print(f"{found}\nwritten: {out}")
    if not found.usable:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
