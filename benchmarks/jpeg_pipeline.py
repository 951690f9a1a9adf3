"""Images a second of one core through a training pipeline, from JPEG files to tensors.

    python benchmarks/jpeg_pipeline.py [FOLDER] [--config configs/odc/odc_r50.py] [--json FILE]

Without a folder, of at least ``--images`` JPEG files, smooth pictures of 500x375 are written, with
the spectrum of photographs and about as many bytes. The contenders see the same files with the same
draws, in turn, several times; times are processor times of one thread, ratios are those of a round.
Reading a file from the disk's cache in memory is part of all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from harness import add_common_options, finish, goal, result_of
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

from mmdeepcluster.datasets import Draw, ImageFolder, ImageView, OpenCVView, load_rgb

CONFIG = Path(__file__).parents[1] / "configs" / "odc" / "odc_r50.py"
REFERENCE = "torchvision"
LEAST = 2.0


def parse_args(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="images; default: synthetic ones")
    parser.add_argument("--config", default=str(CONFIG), help="whose train_pipeline is measured")
    parser.add_argument("--images", type=int, default=64, help="number of files")
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375), help="synthetic images")
    parser.add_argument("--cache-side", type=int, default=256, help="shorter side in the cache")
    add_common_options(parser, rounds=7)
    args = parser.parse_args(arguments)
    if args.small:
        args.images, args.size, args.cache_side, args.rounds = 3, (120, 90), 64, 2
    return args


def write_images(folder: Path, number: int, size: tuple[int, int]) -> None:
    """Writes pictures whose amplitudes fall with the frequency, as in photographs."""
    folder.mkdir()
    rng, (width, height) = np.random.default_rng(0), size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0

    def plane(power: float) -> Any:
        parts = rng.standard_normal((2, *frequency.shape)) / frequency**power
        values = np.fft.irfft2(parts[0] + 1j * parts[1], s=(height, width))
        return values / values.std()

    for index in range(number):
        grey = 50 * plane(1.2)
        colors = [grey + 18 * plane(1.6) + rng.uniform(90, 150) for _ in range(3)]
        pixels = np.stack(colors, axis=-1).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:06d}.jpg", quality=93)


def contenders(
    folder: Path, cache: Path, args: argparse.Namespace
) -> dict[str, Callable[[int, int], Any]]:
    """What is timed: functions of the number of an image and a seed."""
    pipeline = Config.fromfile(args.config).train_pipeline
    plain = ImageFolder(folder, unreadable="trust")
    options = {"dir": cache, "shorter_side": args.cache_side}
    cached = ImageFolder(folder, unreadable="trust", cache=options)
    views = {
        REFERENCE: ImageView(plain, pipeline),
        "opencv": OpenCVView(plain, pipeline),
        "torchvision, cache": ImageView(cached, pipeline),
        "opencv, cache": OpenCVView(cached, pipeline),
    }
    paths = [plain.file_path(index) for index in range(len(plain))]

    def decode(data: bytes) -> Any:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    found: dict[str, Callable[[int, int], Any]] = {
        "decode by Pillow": lambda index, seed: load_rgb(paths[index]),
        "decode by OpenCV": lambda index, seed: decode(Path(paths[index]).read_bytes()),
        "decode of the cache": lambda index, seed: decode(cached.read_file(index)),
    }
    for name, view in views.items():
        found[name] = lambda index, seed, view=view: view[Draw(index, seed)]
    return found


def seconds(action: Callable[[int, int], Any], images: int, number: int) -> float:
    """Processor time of an image."""
    begin = time.process_time()
    for index in range(images):
        action(index, number * images + index)
    return (time.process_time() - begin) / images


def measure(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Times of all contenders and their ratios."""
    torch.set_num_threads(args.threads or 1)
    cv2.setNumThreads(0)
    folder = Path(args.folder) if args.folder else place / "images"
    if not args.folder:
        write_images(folder, args.images, tuple(args.size))
    actions = contenders(folder, place / "cache", args)
    for action in actions.values():
        seconds(action, min(args.images, 8), 0)
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(args.rounds):
        # Forwards and backwards, so that none is always after the same one.
        for name in list(actions)[:: 1 if number % 2 else -1]:
            times[name].append(seconds(actions[name], args.images, number))
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return {
        "images": args.images,
        "source": "folder" if args.folder else f"synthetic {args.size[0]}x{args.size[1]}",
        "bytes_per_file": statistics.median(sizes),
        "config": Path(args.config).name,
        "rounds": args.rounds,
        "opencv": cv2.__version__,
        "ms_per_image": {name: 1e3 * statistics.median(t) for name, t in times.items()},
        "images_per_second": {name: 1 / statistics.median(t) for name, t in times.items()},
        "times_torchvision": _ratios(times, REFERENCE),
        "share_of_decode_speed": _ratios(times, "decode by OpenCV"),
    }


def _ratios(times: dict[str, list[float]], reference: str) -> dict[str, dict[str, float]]:
    """How fast each is against one of them: median and quartiles of the ratios of the rounds."""
    found = {}
    for name, own in times.items():
        ratios = [other / mine for other, mine in zip(times[reference], own, strict=True)]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
        found[name] = {"median": middle, "low": low, "high": high}
    return found


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{found['config']}, {found['images']} images ({found['source']}, "
        f"{found['bytes_per_file'] / 1e3:.0f} kB), one thread, {found['rounds']} rounds",
        f"{'':<22}{'images/s':>9}{'ms':>8}  {'times torchvision':<24}{'of decode speed':>15}",
    ]
    for name, rate in found["images_per_second"].items():
        ratio = found["times_torchvision"][name]
        share = found["share_of_decode_speed"][name]["median"]
        spread = f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        milliseconds = found["ms_per_image"][name]
        lines.append(f"{name:<22}{rate:>9.0f}{milliseconds:>8.2f}  {spread:<24}{share:>15.2f}")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Parses, measures, prints."""
    args = parse_args(arguments)
    MMLogger.get_current_instance().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as place:
        found = result_of("jpeg_pipeline", arguments, args) | measure(args, Path(place))
    print(table(found))
    ratio = found["times_torchvision"]["opencv"]
    found["targets"] = {
        f"{found['config']}: images/s, opencv / torchvision": goal(ratio["median"], ">=", LEAST)
    }
    finish(found, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
