"""Curves and times of runs: python tools/analysis_tools/analyze_logs.py plot_curve WORK_DIR ..."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import figure_size, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Analyze the logs of trainings")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="{plot_curve,cal_train_time}")
    runs = {"metavar": "LOG_OR_WORK_DIR", "nargs": "+", "help": "work dir, or file scalars.json"}

    plot = tasks.add_parser("plot_curve", help="draw curves of runs, a panel for each key")
    plot.add_argument("runs", **runs)
    plot.add_argument("--keys", nargs="+", default=["loss"], help="what to draw; default: loss")
    plot.add_argument("--legend", nargs="+", help="a name for each run, or for each run and key")
    plot.add_argument("--title", help="title of the figure")
    plot.add_argument("--axis", choices=("iter", "epoch"), help="default: what the keys count")
    plot.add_argument("--smooth", type=int, default=1, metavar="W", help="values to average")
    plot.add_argument("--style", default="default", help="style of matplotlib, such as ggplot")
    plot.add_argument("--window-size", type=figure_size, metavar="W*H", help="size in inches")
    plot.add_argument("--out", default="curves.png", help="picture; default: curves.png")

    times = tasks.add_parser("cal_train_time", help="times of epochs and iterations")
    times.add_argument("runs", **runs)
    times.add_argument(
        "--include-outliers",
        action="store_true",
        help="count the first value of each start too, while workers are started",
    )
    return parser.parse_args()


def main() -> None:
    """Parses and analyzes."""
    args = parse_args()
    from mmdeepcluster.apis import describe_times, plot_curves, train_times

    if args.task == "cal_train_time":
        for place in args.runs:
            print(describe_times(place, train_times(place, args.include_outliers)), end="\n\n")
        return
    notes = plot_curves(
        args.runs,
        args.keys,
        args.out,
        legend=args.legend,
        title=args.title,
        smooth=args.smooth,
        style=args.style,
        size=args.window_size,
        axis=args.axis,
    )
    print("\n".join([*notes, f"written: {args.out}"]))


if __name__ == "__main__":
    run(main)
