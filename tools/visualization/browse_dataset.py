"""Pictures of what training sees: python tools/visualization/browse_dataset.py CONFIG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Draw the images that a training of a config sees, as sheets in PNG files"
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--out", "--output-dir", "-o", help="folder; default: work_dirs/<config stem>/browse"
    )
    parser.add_argument("--number", "--show-number", "-n", type=int, default=24, help="samples")
    parser.add_argument(
        "--mode",
        "-m",
        choices=("original", "transformed", "concat", "pipeline"),
        default="transformed",
        help="the files, what the network gets, both, or a row with the image behind each step",
    )
    parser.add_argument("--phase", "-p", choices=("train", "eval"), default="train")
    parser.add_argument("--epoch", type=int, default=1, help="whose first draws; default: 1")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="labels_epoch_N.npy of a work dir, for samplers that draw by cluster",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and draws."""
    args = parse_args()
    from mmdeepcluster.apis import browse_dataset

    out = args.out or Path("work_dirs") / Path(args.config).stem / "browse"
    found = browse_dataset(
        args.config,
        out,
        number=args.number,
        mode=args.mode,
        phase=args.phase,
        epoch=args.epoch,
        labels=args.labels,
        options=args.cfg_options,
    )
    print("\n".join([*found.notes, *(f"written: {file}" for file in found.files)]))


if __name__ == "__main__":
    run(main)
