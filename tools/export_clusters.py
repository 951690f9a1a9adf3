"""Clusters into files: python tools/export_clusters.py CONFIG CHECKPOINT --out DIR."""

from __future__ import annotations

import argparse

from _cli import add_cfg_options, add_images, add_launcher, add_pass, pass_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write the cluster of every image as clusters.csv (and .parquet), and "
        "cluster_model.pth, which labels new images (tools/assign.py)",
        epilog="The same command continues an interrupted one.",
    )
    parser.add_argument("config", help="config file of a training")
    parser.add_argument("checkpoint", help="checkpoint of that training")
    parser.add_argument("--out", required=True, help="folder for the results")
    add_images(parser)
    parser.add_argument(
        "--previous",
        metavar="FILE",
        help="clusters.csv or .parquet of an earlier export: clusters that hold the same images "
        "keep its stable ids",
    )
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=0.5,
        help="part of the smaller of two clusters that must be in common for that; default: 0.5",
    )
    parser.add_argument(
        "--links",
        action="store_true",
        help="also write by_cluster/<stable id>/ with a link to each image",
    )
    parser.add_argument("--copy", action="store_true", help="the same with copies")
    add_pass(parser)
    add_launcher(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and exports."""
    args = parse_args()
    from mmdeepcluster.apis import export_clusters

    export_clusters(
        args.config,
        args.checkpoint,
        out=args.out,
        previous=args.previous,
        min_overlap=args.min_overlap,
        links=args.links,
        copy=args.copy,
        **pass_options(args),
    )


if __name__ == "__main__":
    run(main, interrupted="the same command continues where it was")
