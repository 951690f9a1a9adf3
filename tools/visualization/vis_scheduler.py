"""Curves of learning rate and momentum: python tools/visualization/vis_scheduler.py CONFIG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, figure_size, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Draw the schedules of a config, as its training would follow them"
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--param",
        "--parameter",
        "-p",
        nargs="+",
        choices=("lr", "momentum", "wd"),
        default=["lr"],
        help="what to draw; default: lr",
    )
    parser.add_argument(
        "--out", "--save-path", "-s", help="picture; default: work_dirs/<config stem>/schedule.png"
    )
    parser.add_argument(
        "--dataset-size", "-d", type=int, help="number of images, instead of opening the data set"
    )
    parser.add_argument("--ngpus", "-n", type=int, default=1, help="processes; default: 1")
    parser.add_argument("--auto-scale-lr", action="store_true", help="as of tools/train.py")
    parser.add_argument("--title", help="title of the figure; default: the config")
    parser.add_argument("--style", default="default", help="style of matplotlib, such as ggplot")
    parser.add_argument("--window-size", type=figure_size, metavar="W*H", help="size in inches")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and draws."""
    args = parse_args()
    from mmdeepcluster.apis import trace_schedule, write_schedule

    schedule = trace_schedule(
        args.config,
        args.param,
        options=args.cfg_options,
        dataset_size=args.dataset_size,
        num_processes=args.ngpus,
        auto_scale_lr=args.auto_scale_lr,
    )
    out = args.out or Path("work_dirs") / Path(args.config).stem / "schedule.png"
    files = write_schedule(
        schedule,
        out,
        title=args.title or Path(args.config).stem,
        style=args.style,
        size=args.window_size,
    )
    print(schedule)
    print("\n".join(f"written: {file}" for file in files))
    if len(files) == 1:
        print("no picture: pip install matplotlib")


if __name__ == "__main__":
    run(main)
