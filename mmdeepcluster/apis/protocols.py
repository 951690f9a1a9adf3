"""Every protocol by its name: what it needs, and how its numbers come about."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdeepcluster.apis.bench_data import BenchData
from mmdeepcluster.apis.finetune import finetune
from mmdeepcluster.apis.voc_low_shot import voc_low_shot
from mmdeepcluster.apis.voc_svm import voc_svm
from mmdeepcluster.clustering import KMeans, l2_normalize, match_clusters
from mmdeepcluster.engine import ConfigError, derive_seed
from mmdeepcluster.evaluation import (
    FINETUNE_PROTOCOLS,
    PROBE_PROTOCOLS,
    TrainingSigns,
    cluster_health,
    clustering_scores,
    collapse_warnings,
    feature_spread,
    knn_accuracy,
    label_change_ratio,
    normalized_mutual_info,
    num_zero_rows,
    probe_layers,
    protocol_id,
    rank_me,
    read_low_shot_labels,
    retrieval,
)

Row = dict[str, Any]
DEFAULT_CLUSTERS = 10


@dataclass(frozen=True)
class Protocol:
    """A way to measure.

    Attributes:
        run: From the data to rows of the card.
        needs: Keys of the benchmark that must be given.
        parts: Sets of images whose features it wants.
        probed: Whether it wants the layers of the probes.
        about: What it is, for people.
    """

    run: Callable[[BenchData, str], list[Row]]
    needs: tuple[str, ...]
    parts: tuple[str, ...]
    about: str
    probed: bool = False


def run_protocol(name: str, data: BenchData) -> list[Row]:
    """Measures; each row has ``protocol``, ``metric``, ``layer``, ``value`` and ``details``.

    Raises:
        ConfigError: If the data or the options do not fit the protocol.
    """
    start = time.perf_counter()
    try:
        rows = PROTOCOLS[name].run(data, name)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"protocol {name!r}: {error}") from error
    seconds = round(time.perf_counter() - start, 3)
    return [{"data": data.benchmark.data, "kind": name, **row, "seconds": seconds} for row in rows]


def layers_of(names: tuple[str, ...], data: BenchData) -> dict[str, tuple[str, ...]]:
    """Layers that some protocols want together, by part, for one pass over the images."""
    wanted: dict[str, tuple[str, ...]] = {}
    for name in names:
        protocol = PROTOCOLS[name]
        layers = data.probe_points[1] if protocol.probed else (data.benchmark.layer,)
        for part in protocol.parts:
            wanted[part] = tuple(dict.fromkeys((*wanted.get(part, ()), *layers)))
    return wanted


def _row(
    protocol: str,
    metric: str,
    layer: str,
    value: float,
    details: Mapping[str, Any] | None = None,
    best: bool | None = None,
) -> Row:
    found: Row = {"protocol": protocol, "metric": metric, "layer": layer, "value": float(value)}
    return found | ({} if best is None else {"best": best}) | {"details": dict(details or {})}


def _both(data: BenchData, layers: tuple[str, ...]) -> tuple[Any, Any, Any, Any]:
    train, test = data.labels("train"), data.labels("test")
    return data.features("train", layers), train, data.features("test", layers), test


def _probe(data: BenchData, name: str) -> list[Row]:
    protocol = PROBE_PROTOCOLS[name]
    if data.benchmark.probe_epochs is not None:
        protocol = protocol.shortened(data.benchmark.probe_epochs)
    choice, layers = ("gap", (data.benchmark.layer,)) if protocol.pooled else data.probe_points
    result = probe_layers(
        *_both(data, layers),
        protocol,
        seed=derive_seed(data.benchmark.seed, name) % 2**31,
        device=data.network.data_preprocessor.device,
    )
    label = result.protocol if protocol.pooled else f"{result.protocol}-{choice}"
    rows = []
    for score in result.scores:
        sizes = {"num_train": result.num_train, "num_test": result.num_test}
        best = None if protocol.pooled else score is result.best
        rows.append(_row(label, "top1", score.layer, score.top1, asdict(score) | sizes, best))
        if score.top5 is not None:
            rows.append(_row(label, "top5", score.layer, score.top5, best=best))
    return rows


def _knn(data: BenchData, name: str) -> list[Row]:
    layer = data.benchmark.layer
    train, labels, test, truth = _both(data, (layer,))
    rows = []
    for k in data.benchmark.knn_k:
        if k > len(labels):
            raise ConfigError(
                f"knn_k={k} exceeds the {len(labels)} training images: set knn_k to fewer "
                "neighbours"
            )
        accuracy = knn_accuracy(train[layer], labels, test[layer], truth, k=k)
        details = {"k": k, "num_train": len(labels), "num_test": len(truth)}
        rows.append(_row(protocol_id(k), "top1", layer, accuracy, details))
    return rows


def _clustering(data: BenchData, name: str) -> list[Row]:
    layer, truth = data.benchmark.layer, data.labels("test")
    number = data.benchmark.num_clusters or len(truth.unique())
    clusters = _kmeans(data, "test", layer, number, 0)
    scores = clustering_scores(clusters.numpy(), truth.numpy())
    label = f"kmeans{number}-l2norm-test"
    return [_row(label, metric, layer, value) for metric, value in scores.items()]


def _retrieval(data: BenchData, name: str) -> list[Row]:
    layer = data.benchmark.layer
    train, labels, test, truth = _both(data, (layer,))
    rows = []
    for result in (
        retrieval(train[layer], labels, test[layer], truth),
        retrieval(test[layer], truth),
    ):
        details = {"num_queries": result.num_queries, "num_without": result.num_without}
        rows.append(_row(result.protocol, "map", layer, result.mean_ap, details))
        rows.append(_row(result.protocol, "p@1", layer, result.precision_at_1))
    return rows


def _label_free(data: BenchData, name: str) -> list[Row]:
    layer = data.benchmark.layer
    rows = data.features("train", (layer,))[layer]
    features = l2_normalize(rows)
    number = data.benchmark.num_clusters or DEFAULT_CLUSTERS
    runs = [_kmeans(data, "train", layer, number, run) for run in range(2)]
    first, second = (run.numpy() for run in runs)
    renamed = match_clusters(runs[0], runs[1], number)[runs[1]].numpy()
    health = cluster_health(np.bincount(first, minlength=number))
    label = f"label-free-kmeans{number}-l2norm"
    values = {
        "rank_me": rank_me(features),
        "spread": feature_spread(features),
        "effective_clusters": health.effective_clusters,
        "largest_share": health.largest_share,
        "nmi_between_seeds": normalized_mutual_info(first, second),
        "change_between_seeds": label_change_ratio(first, renamed),
    }
    signs = TrainingSigns(
        health=health,
        zero_share=num_zero_rows(rows) / len(rows),
        spread=values["spread"],
        rank_me=values["rank_me"],
        feature_dim=rows.shape[1],
    )
    details = {"warnings": [str(warning) for warning in collapse_warnings(signs)]}
    return [_row(label, metric, layer, value, details) for metric, value in values.items()]


def _kmeans(data: BenchData, part: str, layer: str, number: int, run: int) -> Tensor:
    rows = l2_normalize(data.features(part, (layer,))[layer])
    if number > len(rows):
        raise ConfigError(f"num_clusters={number} exceeds the {len(rows)} {part} images: lower it")
    seed = derive_seed(data.benchmark.seed, "k-means of an evaluation", run)
    with torch.no_grad():
        return KMeans(number).fit(rows, seed).assignments.cpu()


def _voc_svm(data: BenchData, name: str) -> list[Row]:
    result = voc_svm(
        data.voc_features("voc_train"),
        data.voc["voc_train"],
        data.voc_features("voc_test"),
        data.voc["voc_test"],
        cost_list=data.benchmark.svm_cost_list,
        num_workers=data.num_workers,
        results=data.folder / f"voc_svm_{data.benchmark.svm_cost_list}.jsonl",
    )
    details = {key: value for key, value in asdict(result).items() if key != "protocol"}
    details["num_classes"] = len(result.per_class)
    return [_row(result.protocol, "map", data.benchmark.layer, result.mean_ap, details)]


def _voc_low_shot(data: BenchData, name: str) -> list[Row]:
    benchmark = data.benchmark
    drawn = None
    if benchmark.low_shot_labels is not None:
        try:
            drawn = read_low_shot_labels(benchmark.low_shot_labels)
        except OSError as error:
            raise ConfigError(f"low_shot_labels: {error}") from error
    result = voc_low_shot(
        data.voc_features("voc_train"),
        data.voc["voc_train"],
        data.voc_features("voc_test"),
        data.voc["voc_test"],
        shots=benchmark.shots,
        samples=benchmark.low_shot_samples,
        protocol=benchmark.low_shot_cost,
        cost_list=benchmark.svm_cost_list,
        drawn=drawn,
        seed=benchmark.seed,
        num_workers=data.num_workers,
        results=data.folder / f"voc_low_shot_{benchmark.svm_cost_list}.jsonl",
    )
    draws = "" if drawn is None else "published"
    label = f"{result.protocol}-{draws}x{benchmark.low_shot_samples}"
    rows = [
        _row(label, f"map_k{score.k}", benchmark.layer, score.mean_ap, asdict(score))
        for score in result.scores
    ]
    shots = "-".join(map(str, benchmark.shots))
    return [*rows, _row(f"{label}-k{shots}", "map_mean", benchmark.layer, result.grand_mean)]


def _semi(data: BenchData, name: str) -> list[Row]:
    protocol = FINETUNE_PROTOCOLS[name].changed(**data.benchmark.finetune)
    result = finetune(
        data.network,
        data.view("train").dataset,
        data.view("test"),
        protocol,
        seed=data.benchmark.seed,
        num_workers=data.benchmark.eval_dataloader.get("num_workers", 0),
    )
    details = {"num_labelled": result.num_labelled, "loss": result.loss}
    rows = [_row(result.protocol, "top1", "backbone", result.top1, details)]
    if result.top5 is not None:
        rows.append(_row(result.protocol, "top5", "backbone", result.top5))
    return rows


_LABELLED = ("train", "test")
_VOC = ("voc_train", "voc_test")
PROTOCOLS: dict[str, Protocol] = {
    "linear-odc": Protocol(
        _probe, _LABELLED, _LABELLED, "linear probe of each layer, ODC section 4.1", True
    ),
    "linear-openmmlab": Protocol(
        _probe, _LABELLED, _LABELLED, "the same with OpenMMLab's schedule", True
    ),
    "gap-openmmlab": Protocol(_probe, _LABELLED, _LABELLED, "linear probe of the pooled features"),
    "gap-swav": Protocol(_probe, _LABELLED, _LABELLED, "the same with SwAV's settings"),
    "knn": Protocol(_knn, _LABELLED, _LABELLED, "weighted k nearest neighbours"),
    "clustering": Protocol(_clustering, ("test",), ("test",), "k-means against the classes"),
    "retrieval": Protocol(_retrieval, _LABELLED, _LABELLED, "images of the same class by cosine"),
    "label-free": Protocol(_label_free, ("train",), ("train",), "quality without labels"),
    "voc-svm": Protocol(_voc_svm, ("voc",), _VOC, "linear SVM per class, as on VOC07"),
    "voc-low-shot": Protocol(_voc_low_shot, ("voc",), _VOC, "the same with few positives"),
    "semi-1": Protocol(_semi, _LABELLED, (), "fine-tuning with 1 % of the labels"),
    "semi-10": Protocol(_semi, _LABELLED, (), "fine-tuning with 10 % of the labels"),
}
