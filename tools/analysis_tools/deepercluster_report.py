"""DeeperCluster's claims beside two cards: python deepercluster_report.py CARD SUPERVISED_CARD."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="A model against a supervised network, claim by claim and layer by layer"
    )
    parser.add_argument("card", help="card of the model")
    parser.add_argument("supervised", help="card of the supervised network, same protocols")
    parser.add_argument("--out", help="Markdown file; default: the terminal")
    return parser.parse_args()


def main() -> None:
    """Parses, compares, writes."""
    args = parse_args()
    from mmdeepcluster.apis import deepercluster_report

    text = deepercluster_report(args.card, args.supervised)
    if args.out:
        Path(args.out).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    run(main)
