"""Maps a layer's activations: python tools/analysis_tools/embed_features.py CONFIG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of _cli

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="2-D map of the activations of a layer, of an untrained or trained network"
    )
    parser.add_argument("config", help="config file of a training")
    parser.add_argument(
        "--checkpoint",
        help="checkpoint of that training; default: the untrained network it starts from",
    )
    parser.add_argument(
        "--layer",
        help="such as conv_5.flat, relu_5, neck; default: the last convolution, flattened",
    )
    parser.add_argument(
        "--method", default="tsne", choices=("tsne", "umap"), help="umap needs umap-learn"
    )
    parser.add_argument(
        "--max-samples", type=int, default=2000, help="images of a seeded subset; default: 2000"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of subset and map (the network's: randomness.seed)"
    )
    parser.add_argument("--out", help="default: work_dirs/<config stem>/embedding")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses, maps, writes."""
    args = parse_args()
    from mmdeepcluster.apis import embed_features
    from mmdeepcluster.engine import default_work_dir

    out = args.out or str(Path(default_work_dir(args.config)) / "embedding")
    found = embed_features(
        args.config,
        checkpoint=args.checkpoint,
        layer=args.layer,
        method=args.method,
        max_samples=args.max_samples,
        seed=args.seed,
        out=out,
        options=args.cfg_options,
    )
    print(f"{len(found['positions'])} images, {args.method} of {found['layer']}: {out}")


if __name__ == "__main__":
    run(main)
