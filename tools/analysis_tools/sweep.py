"""Runs a grid of trainings: python tools/analysis_tools/sweep.py SWEEP_FILE [--jobs 2]."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import run

TRAIN = Path(__file__).resolve().parents[1] / "train.py"


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Train every combination of a grid and compare; run again to continue"
    )
    parser.add_argument("sweep_file", help="YAML or Python file with config, grid, seeds, fixed")
    parser.add_argument("--out", help="folder of the sweep; default: work_dirs/sweeps/<file stem>")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; default: 1")
    parser.add_argument("--list", action="store_true", help="name the runs and do nothing")
    return parser.parse_args()


def main() -> None:
    """Parses and runs; the exit code is 1 if a run failed."""
    args = parse_args()
    from mmdeepcluster.apis import load_sweep, run_sweep

    if args.list:
        plan = load_sweep(args.sweep_file)
        for entry in plan.runs:
            print(entry.name)
        print(f"{len(plan.runs)} runs of {plan.config.name}")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the trainings as Ctrl-C does
    out = Path(args.out or Path("work_dirs") / "sweeps" / Path(args.sweep_file).stem)
    results = run_sweep(args.sweep_file, out, [sys.executable, str(TRAIN)], args.jobs)
    print((out / "results.md").read_text(encoding="utf-8"), end="")
    print(f"written: {out / 'results.csv'}, results.md, results.json")
    if any(result["status"] == "failed" for result in results):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
