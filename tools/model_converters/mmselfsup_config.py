"""Prints an mmselfsup config of ODC or DeepCluster as ours: mmselfsup_config.py FILE > ours.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Convert a config of mmselfsup 0.x or 1.x, or OpenSelfSup, to one of ours"
    )
    parser.add_argument("config", help="its file; the _base_ files must be there, too")
    parser.add_argument("--out", help="file to write; default: print")
    return parser.parse_args()


def main() -> None:
    """Parses, converts, and names what has no counterpart."""
    args = parse_args()
    from mmdeepcluster.apis.mmselfsup import convert_mmselfsup

    conversion = convert_mmselfsup(args.config)
    text = conversion.text(Path(args.config).name)
    if args.out:
        Path(args.out).write_text(text, encoding="utf-8")
    else:
        print(text)
    for key, reason in conversion.left.items():
        print(f"no counterpart: {key}: {reason}", file=sys.stderr)
    if conversion.variables:
        print(f"variables of the file: {', '.join(conversion.variables)}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
