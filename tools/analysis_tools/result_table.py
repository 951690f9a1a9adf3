"""Cards and the papers' rows in one table: python tools/analysis_tools/result_table.py CARD ..."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Evaluation cards and published rows in one table")
    parser.add_argument("cards", nargs="*", help="card.json files or folders that hold one")
    parser.add_argument(
        "--papers",
        nargs="?",
        const="same",
        choices=("same", "all"),
        help="adds published rows: of the same data sets, or all of them",
    )
    parser.add_argument(
        "--merge",
        action="store_true",
        help="one column for protocols that measure the same thing; each number carries its mark",
    )
    parser.add_argument("--out", help="Markdown file; default: the terminal")
    parser.add_argument("--json", help="file for the rows, one per number")
    return parser.parse_args()


def main() -> None:
    """Parses, reads, writes."""
    args = parse_args()
    from mmdeepcluster.apis import read_cards, results_markdown, with_papers

    rows = read_cards(args.cards)
    if args.papers:
        rows = with_papers(rows, everything=args.papers == "all" or not args.cards)
    text = results_markdown(rows, merge=args.merge)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if args.out:
        Path(args.out).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    run(main)
