"""Clusters untrained networks: python tools/analysis_tools/initial_alignment.py CONFIG."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_seeds(text: str) -> list[int]:
    """Seeds out of ``1-20``, ``3,5,8`` or both mixed."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            seeds += range(int(first), int(last or first) + 1)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not like 1-20 or 3,5,8") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


def parse_values(text: str) -> tuple[str, list[Any]]:
    """Key and values out of ``key=v1,v2``; what is no Python literal is a text."""
    key, separator, values = text.partition("=")
    if not (key and separator and values):
        raise argparse.ArgumentTypeError(f"{text!r} is not like key=v1,v2")
    return key, [_literal(value) for value in values.split(",")]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Agreement of the first clusters, of untrained networks, with known labels"
    )
    parser.add_argument("config", help="config file of a training")
    parser.add_argument(
        "--clusters", nargs="+", type=int, metavar="K", help="default: model.num_clusters"
    )
    parser.add_argument("--seeds", type=parse_seeds, default="1-20", help="default: 1-20")
    parser.add_argument(
        "--values",
        type=parse_values,
        metavar="KEY=V1,V2",
        help="rank these values of a key of the config instead, by the median over the seeds",
    )
    parser.add_argument(
        "--rank-by",
        default="nmi",
        choices=("nmi", "nmi_geometric", "ami", "nmi_above_chance"),
        help="what --values are ranked by; numbers of clusters better by ami",
    )
    parser.add_argument(
        "--out", help="where results go; default: work_dirs/<config stem>/initial_alignment"
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.values and args.clusters:
        parser.error("--values takes K from the config: set model.num_clusters, not --clusters")
    return args


def main() -> None:
    """Parses, measures, prints."""
    args = parse_args()
    from mmdeepcluster.apis import initial_alignment, rank_by_initial_alignment
    from mmdeepcluster.engine import default_work_dir

    out = args.out or str(Path(default_work_dir(args.config)) / "initial_alignment")
    if args.values:
        key, values = args.values
        ranking = rank_by_initial_alignment(
            args.config,
            key,
            values,
            seeds=args.seeds,
            rank_by=args.rank_by,
            out=out,
            options=args.cfg_options,
        )
        print(f"{key}: median {args.rank_by} of {len(args.seeds)} seeds")
        for entry in ranking:
            print(f"  {entry['value']!s:>12}  {entry['median']:.4f}")
        return
    result = initial_alignment(
        args.config, clusters=args.clusters, seeds=args.seeds, out=out, options=args.cfg_options
    )
    print(f"{'K':>7}  {'measure':16}  {'min':>7}  {'median':>7}  {'mean':>7}  {'max':>7}")
    for number, measures in result["clusters"].items():
        for name in ("nmi", "nmi_above_chance", "ami"):
            figures = "  ".join(f"{value:7.4f}" for value in measures[name].values())
            print(f"{number:7}  {name:16}  {figures}")


if __name__ == "__main__":
    run(main)
