"""Features into files: python tools/extract_features.py CONFIG CHECKPOINT --out DIR."""

from __future__ import annotations

import argparse

from _cli import add_cfg_options, add_images, add_launcher, add_pass, pass_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Write the features of images into .npy files, one row per image",
        epilog="The same command continues an interrupted one. Without a checkpoint: "
        "extract_features.py torchvision/resnet50 --weights resnet50.pth --out D --images F",
    )
    parser.add_argument("config", help="config file, torchvision/NAME or timm/NAME")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint of a training with this config; without one the network is random",
    )
    parser.add_argument(
        "--out", required=True, help="folder for features.npy, samples.csv, extraction.json"
    )
    add_images(parser)
    parser.add_argument(
        "--layer",
        nargs="+",
        default=[],
        metavar="NAME",
        help="such as neck, backbone, feat4, feat4.flat, feat4.avg2; one features_<NAME>.npy each; "
        "default: features.npy of what is clustered",
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    parser.add_argument("--weights", help="file of another project whose backbone is taken")
    parser.add_argument(
        "--pretrained", action="store_true", help="for a name: download the zoo's own weights"
    )
    parser.add_argument("--seed", type=int, help="of a random network; default: the config's or 0")
    add_pass(parser)
    add_launcher(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and extracts."""
    args = parse_args()
    from mmdeepcluster.apis import extract_features

    extract_features(
        args.config,
        args.checkpoint,
        out=args.out,
        layers=args.layer,
        dtype=args.dtype,
        weights=args.weights,
        pretrained=args.pretrained,
        seed=args.seed,
        **pass_options(args),
    )


if __name__ == "__main__":
    run(main, interrupted="the same command continues where it was")
