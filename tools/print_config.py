"""Prints a config with its bases merged: python tools/print_config.py CONFIG [--resolve]."""

from __future__ import annotations

import argparse

from _cli import add_cfg_options, run


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Print a whole config")
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--resolve",
        action="store_true",
        help="open the data set and print the numbers that follow from it too",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses and prints."""
    args = parse_args()
    from mmdeepcluster.engine import load_config, merge_options, resolve_config
    from mmdeepcluster.engine.config_schema import check_option_roots

    if args.resolve:
        cfg = resolve_config(args.config, args.cfg_options).cfg
    else:
        cfg = load_config(args.config)
        check_option_roots(args.cfg_options, cfg)
        merge_options(cfg, args.cfg_options or {})
    print(cfg.pretty_text)


if __name__ == "__main__":
    run(main)
