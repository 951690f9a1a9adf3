"""Throughput of extract_features against a bare forward loop over the same loader.

    python benchmarks/extraction.py [--network torchvision/resnet18] [--images 512] [--side 64]

Both read the same image files, in turn, several times; the ratio is the median of those of the
rounds. On a machine that others use too, that of the processor times says more. What is measured of
the extraction is everything but opening data set and network: making the files, forward, checks,
writing rows, progress on the disk, ``samples.csv``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import finish, goal, result_of
from mmengine.device import get_device
from mmengine.logging import MMLogger
from PIL import Image

from mmdeepcluster.apis.image_pass import layer_widths, open_loader, run_pass
from mmdeepcluster.apis.pass_folder import PassFolder, RowSpec
from mmdeepcluster.engine import load_source, open_images, write_table


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="torchvision/resnet18")
    parser.add_argument("--layer", help="default: what would be clustered")
    parser.add_argument("--images", type=int, default=512, help="number of files")
    parser.add_argument("--side", type=int, default=64, help="pixels that the network sees")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for machine, settings and figures")
    return parser.parse_args()


def write_images(folder: Path, number: int, side: int) -> None:
    """Files of noise, a little larger than what the network sees."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        pixels = rng.integers(0, 256, (side + 8, side + 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:06d}.jpg", quality=90)


@torch.no_grad()
def bare_loop(source: Any, loader: Any, layer: str) -> float:
    """Seconds of the shortest loop: load, normalise, forward."""
    begin = time.perf_counter()
    for batch in loader:
        inputs = source.model.data_preprocessor(batch)["inputs"]
        source.model.extract(inputs, (layer,))
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def extraction(source: Any, loader: Any, dataset: Any, folder: Path, layer: str) -> float:
    """Seconds of the extraction into files."""
    width = layer_widths(source.model, (layer,), loader.dataset)[layer]
    begin = time.perf_counter()
    files = {"features.npy": RowSpec(layer, (width,), "float32")}
    target = PassFolder(folder, "extraction", {"layer": layer}, files, len(dataset))
    run_pass(source, loader, target, overwrite=True)

    def write() -> dict[str, Any]:
        write_table(folder / "samples.csv", dataset, {"cluster": None, "distance": None})
        return {}

    target.finish(write)
    return time.perf_counter() - begin


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Images a second of both, and their ratio."""
    write_images(folder / "images", args.images, args.side)
    options = {f"eval_pipeline.{step}.size": args.side for step in (1, 2)}
    source = load_source(args.network, options=options)
    source.model.to(get_device())
    dataset = open_images(source.cfg, folder / "images", unreadable="trust")
    loader = open_loader(source, dataset, args.batch_size, args.num_workers)
    layer = args.layer or source.model.default_layer
    actions = {
        "bare loop": lambda: bare_loop(source, loader, layer),
        "extraction": lambda: extraction(source, loader, dataset, folder / "out", layer),
    }
    actions["bare loop"]()
    wall: dict[str, list[float]] = {name: [] for name in actions}
    processor: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(args.rounds):
        # Each goes first as often as the other.
        for name in list(actions)[:: 1 if number % 2 else -1]:
            begin = time.process_time()
            wall[name].append(actions[name]())
            processor[name].append(time.process_time() - begin)
    rates = {name: args.images / statistics.median(found) for name, found in wall.items()}
    return {
        "network": args.network,
        "layer": layer,
        "images": args.images,
        "device": get_device(),
        "threads": torch.get_num_threads(),
        "images_per_second": rates,
        "ratio": _ratio(wall),
        "ratio_of_processor_time": _ratio(processor),
    }


def _ratio(times: dict[str, list[float]]) -> float:
    """How fast the extraction is against the loop, the median over rounds."""
    pairs = zip(times["bare loop"], times["extraction"], strict=True)
    return statistics.median(bare / extracted for bare, extracted in pairs)


def main() -> None:
    """Parses, measures, prints."""
    args = parse_args()
    MMLogger.get_current_instance().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Path(folder))
    for name, rate in found["images_per_second"].items():
        print(f"{name:<12} {rate:10.1f} images/s")
    print(f"ratio        {found['ratio']:10.3f}")
    print(f"  of processor time {found['ratio_of_processor_time']:.3f}")
    result = result_of("extraction", sys.argv[1:], args) | found
    share = found["ratio_of_processor_time"]
    result["targets"] = {"extraction / bare loop": goal(share, ">=", 0.95, id="P10")}
    finish(result, args.json)


if __name__ == "__main__":
    main()
