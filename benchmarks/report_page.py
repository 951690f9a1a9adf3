"""How fast a run report opens in Chromium, and how smoothly its lists scroll.

    python benchmarks/report_page.py work_dirs/odc_convnet_cifar10/report.html --json page.json
    python benchmarks/report_page.py --small         # the page of two epochs of the digits

*Load* ends when the page has drawn its curves, lists and map. While a list is scrolled by a screen
in half a second the time between two frames is taken, and with it the longest piece of work that
kept the page from answering. Chromium runs without a GPU, so a screen that has one does better.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from harness import add_common_options, finish, result_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LISTS = ("#cluster-list", "#epoch-list")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_SCROLL = """async ([selector, frames]) => {
  const box = document.querySelector(selector), times = [], work = [];
  box.scrollIntoView({ block: "center", behavior: "instant" });
  const watch = new PerformanceObserver((list) => work.push(...list.getEntries()));
  watch.observe({ type: "longtask" });
  const next = () => new Promise((done) => requestAnimationFrame(done));
  await next();
  for (let last = performance.now(), frame = 0; frame < frames; frame++) {
    box.scrollTop += box.clientHeight / 30;
    if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) box.scrollTop = 0;
    await next();
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  watch.disconnect();
  return { times, longest: Math.max(0, ...work.map((entry) => entry.duration)) };
}"""


def small_page(folder: Path) -> Path:
    """The report of a short training of the digits."""
    from mmdeepcluster.apis import train

    root = Path(__file__).parents[1]
    options = {
        "train_cfg.max_epochs": 2,
        "train_dataloader.num_workers": 0,
        "default_hooks.cluster_metrics.save_labels_interval": 1,
        "default_hooks.report.page": True,
    }
    train(root / "configs/odc/odc_lenet5_digits.py", work_dir=folder, options=options)
    return folder / "report.html"


def measure(page: Path, browser: str, rounds: int, frames: int) -> dict[str, Any]:
    """Opens a page some times, then scrolls its lists."""
    from playwright.sync_api import sync_playwright

    loads: list[float] = []
    scrolls: dict[str, Any] = {}
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=browser, args=_FLAGS)
        for number in range(rounds):
            tab = chromium.new_page(viewport={"width": 1280, "height": 800})
            begin = time.perf_counter()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("html[data-ready]", timeout=120_000)
            loads.append(time.perf_counter() - begin)
            if number == rounds - 1:
                there = [name for name in LISTS if tab.query_selector(name)]
                scrolls = {name: _frames(tab.evaluate(_SCROLL, [name, frames])) for name in there}
            tab.close()
        chromium.close()
    return {
        "megabytes": page.stat().st_size / 1e6,
        "load_seconds": {"median": statistics.median(loads), "max": max(loads), "runs": rounds},
        "scroll_milliseconds": scrolls,
    }


def _frames(found: dict[str, Any]) -> dict[str, float]:
    times = sorted(found["times"])
    return {
        "median": statistics.median(times),
        "percentile_95": times[int(0.95 * (len(times) - 1))],
        "max": times[-1],
        "longest_task": found["longest"],
        "frames": len(times),
    }


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser, rounds=5)
    parser.add_argument("page", nargs="?", type=Path, help="a report; default: of a short training")
    args = parser.parse_args(arguments)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        parser.error(f"no Chromium on the PATH ({', '.join(BROWSERS)})")
    if args.threads:
        torch.set_num_threads(args.threads)
    frames = 30 if args.small else 300
    with tempfile.TemporaryDirectory() as folder:
        page = args.page or small_page(Path(folder))
        found = measure(page, browser, 2 if args.small else args.rounds, frames)
    result: dict[str, Any] = result_of("report_page", arguments, args) | found
    print(f"{found['megabytes']:.1f} MB, open after {found['load_seconds']['median']:.2f} s")
    for name, row in found["scroll_milliseconds"].items():
        print(
            f"{name}: a frame each {row['median']:.1f} ms (95 %: {row['percentile_95']:.1f}), "
            f"longest task {row['longest_task']:.0f} ms"
        )
    finish(result, args.json)


if __name__ == "__main__":
    main(sys.argv[1:])
