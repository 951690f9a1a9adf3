"""One card per model: every number with its protocol, and how it came about."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from mmdeepcluster.apis.bench_data import BenchData
from mmdeepcluster.apis.benchmark import Benchmark, load_benchmark
from mmdeepcluster.apis.card_text import card_markdown
from mmdeepcluster.apis.protocols import layers_of, run_protocol
from mmdeepcluster.engine import (
    config_seed,
    file_digest,
    load_source,
    share_cores,
    state_digest,
    write_atomically,
)

CARD_FORMAT = "mmdeepcluster-card-1"
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "scipy", "mmengine")


def evaluate_card(
    config: str | Path | Config,
    benchmarks: Sequence[str | Path | Config],
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    benchmark_options: Mapping[str, Any] | None = None,
    protocols: Sequence[str] | None = None,
    num_workers: int = 1,
) -> dict[str, Any]:
    """Measures a network by all protocols of some benchmarks (R61 to R69).

    Features are extracted once, in one pass for all layers, and kept under ``out``; what is there
    of the same network and images is used again, and so are finished SVMs. One process.

    Args:
        config: Config of the network, ``torchvision/NAME`` or ``timm/NAME``.
        benchmarks: Files like those under ``configs/benchmarks``.
        out: Folder for ``card.json``, ``card.md`` and the features.
        checkpoint: Checkpoint of a training with this config. Defaults to None, the untrained
            network of ``randomness.seed``.
        weights: File of another project whose backbone is taken, as ``load_weights`` does.
        pretrained: For a name: take the weights of that zoo.
        name: What tables call the model. Defaults to the names of config and checkpoint.
        options: What ``--cfg-options`` would set in ``config``.
        benchmark_options: The same for the benchmarks.
        protocols: Replaces the protocols of the benchmarks.
        num_workers: Processes for the SVMs; numbers are the same for any.

    Returns:
        The card.

    Raises:
        ConfigError: If a config, the weights, the data or a protocol cannot be used.
        RuntimeError: If the network changed while it was measured.
    """
    start = time.perf_counter()
    given = {"protocols": list(protocols)} if protocols else {}
    loaded = [load_benchmark(item, {**(benchmark_options or {}), **given}) for item in benchmarks]
    share_cores()
    source = load_source(
        config, checkpoint, weights=weights, pretrained=pretrained, options=options
    )
    cfg, network = source.cfg, source.model.to(get_device())
    digest = state_digest(network.state_dict())
    folder = Path(out)
    results = []
    for benchmark in loaded:
        data = BenchData(network, cfg, benchmark, folder / "features" / benchmark.data, num_workers)
        data.layers = layers_of(benchmark.protocols, data)
        for protocol in benchmark.protocols:
            print_log(f"{benchmark.data}: {protocol}", "current")
            results += run_protocol(protocol, data)
    if state_digest(network.state_dict()) != digest:
        raise RuntimeError("the network changed while it was measured")
    card = {
        "format": CARD_FORMAT,
        "name": name or _name(config, checkpoint or weights, pretrained),
        "model": _model(config, cfg, checkpoint or weights) | {"origin": source.origin},
        "network_sha256": digest,
        "network_unchanged": True,
        "benchmarks": [_described(benchmark, cfg) for benchmark in loaded],
        "results": results,
        "hardware": _hardware(),
        "versions": _versions(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "card.json", json.dumps(_finite(card), indent=2) + "\n")
    write_atomically(folder / "card.md", card_markdown(card))
    return card


def _name(config: Any, weights: str | Path | None, pretrained: bool) -> str:
    file = config.filename if isinstance(config, Config) else config
    stem = "network" if file is None else Path(file).stem
    trained = "pretrained" if pretrained else "untrained"
    return f"{stem} ({trained if weights is None else Path(weights).name})"


def _model(config: Any, cfg: Config, checkpoint: str | Path | None) -> dict[str, Any]:
    model = cfg.model.to_dict()
    file = config.filename if isinstance(config, Config) else config
    return {
        "config": None if file is None else str(file),
        "method": model["type"],
        "backbone": model["backbone"],
        "seed": config_seed(cfg),
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "checkpoint_sha256": None if checkpoint is None else file_digest(Path(checkpoint)),
    }


def _described(benchmark: Benchmark, cfg: Config) -> dict[str, Any]:
    return {
        "data": benchmark.data,
        "protocols": list(benchmark.protocols),
        "train": benchmark.train,
        "test": benchmark.test,
        "voc": benchmark.voc,
        "eval_pipeline": benchmark.eval_pipeline or cfg.eval_pipeline,
        "seed": benchmark.seed,
    }


def _hardware() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "machine": platform.machine(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _versions() -> dict[str, str]:
    from mmdeepcluster.version import __version__

    found = {"mmdeepcluster": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"torch": torch.__version__}  # with the build, such as +cu126


def _finite(value: Any) -> Any:
    """NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
