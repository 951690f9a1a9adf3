"""Clusters of new images: python tools/assign.py cluster_model.pth IMAGES --out FILE.csv."""

from __future__ import annotations

import argparse

from _cli import run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write the cluster of new images, by a model of tools/export_clusters.py"
    )
    parser.add_argument("model", help="cluster_model.pth")
    parser.add_argument("images", help="folder of images, or list file with a path per line")
    parser.add_argument("--out", required=True, metavar="FILE.csv")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="folder names, or numbers behind the names of a list, are classes",
    )
    parser.add_argument(
        "--unreadable",
        choices=("skip", "fail", "trust"),
        default="skip",
        help="files that cannot be read are left out and listed, are an error, or are not looked "
        "for beforehand; default: skip",
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; default: a GPU if there is one")
    parser.add_argument("--batch-size", type=int, help="default: that of the training")
    parser.add_argument("--num-workers", type=int, default=0, help="data workers; default: 0")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.csv")
    return parser.parse_args()


def main() -> None:
    """Parses and assigns."""
    args = parse_args()
    from mmdeepcluster.apis import assign

    assign(
        args.model,
        args.images,
        args.out,
        labels=args.labels,
        unreadable=args.unreadable,
        device=args.device,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        overwrite=args.overwrite,
    )


if __name__ == "__main__":
    run(main, interrupted="nothing was written")
