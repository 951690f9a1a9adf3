"""Trains a config: python tools/train.py configs/odc/odc_lenet5_digits.py."""

from __future__ import annotations

import argparse

from _cli import add_cfg_options, add_launcher, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Train a deep clustering config")
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir", help="where results go; default: the config's, then work_dirs/<config stem>"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CKPT",
        help="continue from the newest checkpoint in the work dir, or from the one given",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bfloat16 on a CPU)")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate to the batch size"
    )
    add_launcher(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and trains."""
    args = parse_args()
    from mmdeepcluster.apis import train

    train(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
        options=args.cfg_options,
    )


if __name__ == "__main__":
    run(main)
