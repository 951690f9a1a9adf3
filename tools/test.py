"""Measures a checkpoint: python tools/test.py CONFIG CHECKPOINT [--out metrics.json]."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from _cli import add_cfg_options, add_launcher, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Measure features and clusters of a checkpoint")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint of a training with this config")
    parser.add_argument("--out", help="JSON file for the figures")
    add_launcher(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses, measures, prints, and writes where asked."""
    args = parse_args()
    from mmengine.dist import is_main_process

    from mmdeepcluster.apis import evaluate

    scores = evaluate(
        args.config, args.checkpoint, launcher=args.launcher, options=args.cfg_options
    )
    if not is_main_process():
        return
    text = json.dumps(scores, indent=2)
    print(text)
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
