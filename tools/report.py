"""A training as one page to look at: python tools/report.py WORK_DIR."""

from __future__ import annotations

import argparse

from _cli import run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write one HTML page, without server and network, of a training: figures, "
        "curves, clusters, two epochs side by side, a map of the features",
        epilog="default_hooks.report.page=True writes it at the end of a training.",
    )
    parser.add_argument("work_dir", help="work dir of a training, ended or not")
    parser.add_argument("--out", metavar="FILE", help="default: WORK_DIR/report.html")
    parser.add_argument(
        "--no-map",
        action="store_true",
        help="no pass over images: no map and no nearest neighbours",
    )
    parser.add_argument(
        "--map-method",
        default="tsne",
        metavar="NAME",
        help="tsne, or umap where umap-learn is installed; default: tsne",
    )
    parser.add_argument(
        "--map-images",
        type=int,
        default=5000,
        metavar="N",
        help="of more images a random subset is mapped; default: 5000",
    )
    parser.add_argument(
        "--images-per-cluster",
        type=int,
        metavar="N",
        help="thumbnails of a cluster; default: 12, fewer for more than 1,666 clusters",
    )
    parser.add_argument(
        "--thumb-size", type=int, default=64, metavar="PIXELS", help="of thumbnails; default: 64"
    )
    parser.add_argument(
        "--relative-links",
        action="store_true",
        help="links to the files start at the folder of the page, for pages that move with them",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the subset and the map; default: 0")
    return parser.parse_args()


def main() -> None:
    """Parses and writes."""
    args = parse_args()
    from mmdeepcluster.apis import write_report

    path = write_report(
        args.work_dir,
        args.out,
        with_map=not args.no_map,
        method=args.map_method,
        map_images=args.map_images,
        images_per_cluster=args.images_per_cluster,
        thumb_size=args.thumb_size,
        relative_links=args.relative_links,
        seed=args.seed,
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main, interrupted="nothing was written")
