"""Initial Alignment of a config in one call, and choosing by it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor

from mmdeepcluster.apis.json_lines import JsonLines
from mmdeepcluster.apis.untrained import untrained_algorithm
from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.datasets import ImageView
from mmdeepcluster.engine import (
    ConfigError,
    ResolvedConfig,
    derive_seed,
    eval_loader,
    resolve_config,
    share_cores,
    write_atomically,
)
from mmdeepcluster.evaluation import alignment, select_by_ia, summarize_alignments
from mmdeepcluster.evaluation.initial_alignment import AVERAGE_METHOD, MEASURES
from mmdeepcluster.models import derived_keys, extract
from mmdeepcluster.registry import CLUSTERERS
from mmdeepcluster.visualization import histograms

DEFAULT_SEEDS = range(1, 21)
# Keys of the model that decide which features are clustered, and how.
_DECISIVE = (
    "backbone",
    "neck",
    "feature_transform",
    "clusterer",
    "num_super_clusters",
    "init_cfg",
)
# Decoded images of up to this size are kept from one seed to the next.
_KEPT_BYTES = 1 << 30


def initial_alignment(
    config: str | Path | Config,
    *,
    clusters: Sequence[int] | None = None,
    seeds: Iterable[int] = DEFAULT_SEEDS,
    out: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Clusters the features of untrained networks and compares with known labels (R30 to R32).

    For each seed: the network that a training with ``randomness.seed`` of that value starts from,
    one pass over the training images in evaluation mode, the feature transform of the config
    (none: unit length), then its clusterer with each number of clusters, seeded as the first
    clustering of that training.

    Args:
        config: Config file or config of a training.
        clusters: Numbers of clusters. Defaults to ``model.num_clusters`` alone.
        seeds: Seeds. Defaults to 1 to 20.
        out: Folder for ``initial_alignment.jsonl``, which gets each result at once and is
            continued where a run was cut off; for ``initial_alignment.json``, all values and
            their distribution; and for a histogram. Defaults to None, nothing is written.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        ``average_method`` of ``nmi``, ``clusters`` with the distribution by K as
        :func:`~mmdeepcluster.evaluation.summarize_alignments` gives it, and ``values``, one entry
        per K and seed.

    Raises:
        ConfigError: If the config cannot be used, its data set has no labels, a number of
            clusters does not fit, or ``out`` holds results of something else.
    """
    resolved = resolve_config(config, options)
    numbers = _check_clusters(clusters or [resolved.cfg.model.num_clusters], resolved)
    seeds = list(dict.fromkeys(seeds))
    identity = _identity(resolved)
    store = None if out is None else _open(Path(out) / "initial_alignment.jsonl", identity)
    rows = {} if store is None else {(r["seed"], r["num_clusters"]): r for r in store.rows}
    share_cores()
    batches = _Batches(resolved)
    for seed in seeds:
        missing = [number for number in numbers if (seed, number) not in rows]
        for row in _measure(resolved, batches, seed, missing):
            row["config"] = identity
            rows[seed, row["num_clusters"]] = row
            if store is not None:
                store.append(row)
    wanted = [rows[seed, number] for number in sorted(numbers) for seed in seeds]
    result = _result(wanted)
    if out is not None:
        _write(Path(out), result)
    return result


def rank_by_initial_alignment(
    config: str | Path | Config,
    key: str,
    values: Sequence[Any],
    *,
    seeds: Iterable[int] = DEFAULT_SEEDS,
    rank_by: str = "nmi",
    out: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Ranks values of a hyper-parameter by the median Initial Alignment of their seeds (R39).

    Args:
        config: Config file or config of a training.
        key: Dotted key of the config, such as ``model.feature_transform.dim``. Numbers of clusters
            (``model.num_clusters``) should be ranked by ``ami`` or ``nmi_above_chance``, because
            NMI rises with them by chance alone.
        values: Values to compare.
        seeds: Seeds. Defaults to 1 to 20.
        rank_by: ``nmi``, ``nmi_geometric``, ``ami`` or ``nmi_above_chance``.
        out: Folder for ``ranking.json``, and for the results of each value in a folder of its
            own, which are continued where a run was cut off. Defaults to None.
        options: What ``--cfg-options`` would set besides.

    Returns:
        The values, best first: ``value``, ``median`` and ``alignments``, one per seed.

    Raises:
        ConfigError: As :func:`initial_alignment`, or for an unknown ``rank_by``.
    """
    if rank_by not in MEASURES:
        raise ConfigError(f"--rank-by must be one of {', '.join(MEASURES)}, got {rank_by!r}")
    seeds = list(dict.fromkeys(seeds))
    named = {str(value): value for value in values}
    if len(named) < 2:
        raise ConfigError(f"--values {key}: needs at least two values, got {list(values)}")
    samples = {}
    for name, value in named.items():
        folder = None if out is None else Path(out) / f"{key}={name}"
        settings = {**(options or {}), key: value}
        result = initial_alignment(config, seeds=seeds, out=folder, options=settings)
        samples[name] = [row[rank_by] for row in result["values"]]
    ranking = [
        {"value": named[name], "median": median, "alignments": samples[name]}
        for name, median in select_by_ia(samples)
    ]
    if out is not None:
        found = {"key": key, "rank_by": rank_by, "seeds": seeds, "ranking": ranking}
        write_atomically(Path(out) / "ranking.json", json.dumps(found, indent=2) + "\n")
    return ranking


class _Batches:
    """The evaluation view in batches; small sets are decoded once for all seeds."""

    def __init__(self, resolved: ResolvedConfig) -> None:
        self._loader = eval_loader(resolved, resolved.dataset)
        self.batch_sampler = self._loader.batch_sampler
        view = ImageView(resolved.dataset, resolved.cfg.eval_pipeline, name="eval_pipeline")
        pixels = torch.Size(view.image_shape).numel()
        self._keeps = pixels * len(resolved.dataset) <= _KEPT_BYTES
        self._kept: list[dict[str, Tensor]] = []

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self._kept:
            yield from self._kept
            return
        batches = []
        for batch in self._loader:
            if self._keeps:
                batches.append(batch)
            yield batch
        self._kept = batches


def _measure(
    resolved: ResolvedConfig, batches: Any, seed: int, numbers: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Alignments of one untrained network, one by one."""
    if not numbers:
        return
    start = time.perf_counter()
    features = _features(resolved, batches, seed)
    labels = resolved.dataset.eval_labels
    assert labels is not None  # _check_clusters
    for number in numbers:
        clusterer = CLUSTERERS.build(_clusterer(resolved.cfg.model, number))
        fitted = clusterer.fit(features, derive_seed(seed, "recluster", 0))
        measures = alignment(fitted.assignments.cpu().numpy(), labels, seed=seed).as_dict()
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        print_log(
            f"seed {seed}, {number} clusters: initial alignment {measures['nmi']:.4f}, above "
            f"chance {measures['nmi_above_chance']:.4f}, AMI {measures['ami']:.4f} "
            f"({seconds:.1f} s)",
            "current",
        )
        yield {
            "seed": seed,
            "num_clusters": number,
            **measures,
            "average_method": AVERAGE_METHOD,
            "seconds": round(seconds, 3),
        }


def _features(resolved: ResolvedConfig, batches: Any, seed: int) -> Tensor:
    """What an untrained network clusters first: transformed features (N, D)."""
    algorithm = untrained_algorithm(resolved, seed)
    try:
        features = extract(algorithm, batches)["neck"].to(get_device())
    except ValueError as error:
        raise ConfigError(f"images of eval_pipeline do not fit the model: {error}") from error
    transform = getattr(algorithm, "feature_transform", None)
    return l2_normalize(features) if transform is None else transform.fit(features)(features)


def _check_clusters(clusters: Sequence[int], resolved: ResolvedConfig) -> list[int]:
    """The numbers, without repeats, if they can be measured."""
    if resolved.dataset.eval_labels is None:
        raise ConfigError(
            "initial alignment compares clusters with known labels, and this data set has none: "
            "use a labelled one (for a folder, dataset.labels='folder')"
        )
    for number in clusters:
        if not 2 <= number <= len(resolved.dataset):
            raise ConfigError(
                f"--clusters {number}: must be between 2 and the {len(resolved.dataset)} images"
            )
    return list(dict.fromkeys(clusters))


def _identity(resolved: ResolvedConfig) -> str:
    """A name for everything but seed and K that decides the results."""
    cfg = resolved.cfg
    parts = {key: cfg.model.get(key) for key in _DECISIVE}
    parts |= {key: cfg.get(key) for key in ("eval_pipeline", "data_preprocessor")}
    parts["dataset"] = resolved.dataset.fingerprint()
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _open(path: Path, identity: str) -> JsonLines:
    try:
        store = JsonLines(path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if any(row["config"] != identity for row in store.rows):
        raise ConfigError(
            f"{path} holds results of another model, pipeline or data set: give another --out, or "
            "remove it"
        )
    return store


def _result(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is the same in every run: all but how long it took."""
    values = [{k: v for k, v in row.items() if k not in ("seconds", "config")} for row in rows]
    return {
        "average_method": AVERAGE_METHOD,
        "clusters": summarize_alignments(rows),
        "values": values,
    }


def _write(folder: Path, result: Mapping[str, Any]) -> None:
    path = folder / "initial_alignment.json"
    write_atomically(path, json.dumps(result, indent=2) + "\n")
    samples = {
        f"{number} clusters": [v["nmi"] for v in result["values"] if v["num_clusters"] == number]
        for number in result["clusters"]
    }
    figure = path.with_suffix(".png")
    drawn = histograms(figure, samples, "initial alignment (NMI)", "Initial alignment")
    print_log(
        f"written: {path}" + (f", {figure}" if drawn else "; no figure without matplotlib"),
        "current",
    )


def _clusterer(model: Mapping[str, Any], num_clusters: int) -> dict[str, Any]:
    """Config of the model's clusterer for another number of clusters.

    Raises:
        ConfigError: If super-clusters cannot share the clusters out evenly.
    """
    supers = model.get("num_super_clusters")
    default = "KMeans" if supers is None else "TwoLevelKMeans"
    config = dict(model.get("clusterer") or {"type": default}, num_clusters=num_clusters)
    if supers is not None and "num_super_clusters" in derived_keys(CLUSTERERS, config):
        if num_clusters % supers:
            raise ConfigError(
                f"{num_clusters} clusters cannot be dealt to model.num_super_clusters={supers}: "
                "give a multiple, or set it to 1"
            )
        config["num_super_clusters"] = supers
    return config
