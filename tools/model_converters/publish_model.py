"""Writes a trained network for others: publish_model.py CONFIG CHECKPOINT OUT [--format timm]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import run

# As in mmdeepcluster.apis, which takes seconds to import.
FORMATS = ("mmdeepcluster", "torchvision", "timm", "safetensors", "onnx")


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write the network of a training, without the training, and a card beside it"
    )
    parser.add_argument("config", help="config of the training")
    parser.add_argument("checkpoint", help="its checkpoint")
    parser.add_argument("out", help="file; the start of its sha256 is put into the name")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="names of the weights, or kind of file; a file *.safetensors may have names of any",
    )
    parser.add_argument(
        "--num-classes",
        type=int,
        help="torchvision, timm: add a classifier of zeros, so that the plain network loads it",
    )
    parser.add_argument(
        "--fold-sobel",
        action="store_true",
        help="torchvision, timm: the first convolution takes the Sobel layer in",
    )
    parser.add_argument("--license", help="licence of the weights, for the card")
    return parser.parse_args()


def main() -> None:
    """Parses and publishes."""
    args = parse_args()
    from mmdeepcluster.apis import publish

    published = publish(
        args.config,
        args.checkpoint,
        args.out,
        file_format=args.format,
        num_classes=args.num_classes,
        fold_sobel=args.fold_sobel,
        license_name=args.license,
    )
    print(f"written: {published.weights}, {published.card}")
    for note in published.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    run(main)
