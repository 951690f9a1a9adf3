"""Measures a model by protocols: python tools/evaluate_card.py CONFIG [CHECKPOINT] -b BENCHMARK."""

from __future__ import annotations

import argparse
from pathlib import Path

from _cli import add_cfg_options, run
from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="One evaluation card (card.json, card.md) of a model",
        epilog="The images and protocols stand in configs/benchmarks.",
    )
    parser.add_argument("config", help="config file of the network, torchvision/NAME or timm/NAME")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint of a training with this config; default: the untrained network",
    )
    parser.add_argument("--weights", help="file of another project whose backbone is taken")
    parser.add_argument(
        "--pretrained", action="store_true", help="for a name: download the zoo's own weights"
    )
    parser.add_argument(
        "-b", "--benchmark", nargs="+", required=True, help="files of configs/benchmarks"
    )
    parser.add_argument(
        "--protocols", nargs="+", help="instead of those of the benchmarks; see the README there"
    )
    parser.add_argument("--out", help="default: work_dirs/<config stem>/card")
    parser.add_argument("--name", help="of the model in tables; default: config and checkpoint")
    parser.add_argument("--workers", type=int, default=1, help="processes for the SVMs")
    parser.add_argument(
        "--benchmark-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="settings of the benchmarks to change, e.g. train.root=my_images seed=1",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Parses, measures, says where the card is."""
    args = parse_args()
    from mmdeepcluster.apis import best_layers, evaluate_card, shown
    from mmdeepcluster.engine import default_work_dir

    out = Path(args.out or Path(default_work_dir(args.config)) / "card")
    card = evaluate_card(
        args.config,
        args.benchmark,
        out,
        checkpoint=args.checkpoint,
        weights=args.weights,
        pretrained=args.pretrained,
        name=args.name,
        options=args.cfg_options,
        benchmark_options=args.benchmark_options,
        protocols=args.protocols,
        num_workers=args.workers,
    )
    for row in card["results"]:
        value = shown(row["metric"], row["value"])
        print(f"{row['data']}  {row['protocol']}  {row['layer']}  {row['metric']}  {value}")
    for row in best_layers(card["results"]):
        print(f"best layer, {row['protocol']}: {row['layer']}, {shown('top1', row['value'])} %")
    print(f"written: {out / 'card.json'}, {out / 'card.md'}")


if __name__ == "__main__":
    run(main)
