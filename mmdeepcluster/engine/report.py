"""How good features and clusters are, in figures: the same at the end of a run and afterwards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch import Tensor
from torch.utils.data import DataLoader

from mmdeepcluster.clustering import Assignment, KMeans, RowShare, l2_normalize
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine.build import eval_loader, heldout_dataset
from mmdeepcluster.engine.evaluation_options import EvaluationOptions
from mmdeepcluster.engine.launch import from_main
from mmdeepcluster.engine.resolve_config import ResolvedConfig
from mmdeepcluster.engine.sample_table import write_table
from mmdeepcluster.engine.seeding import config_seed, derive_seed
from mmdeepcluster.engine.threads import cores_of_pass
from mmdeepcluster.evaluation import (
    cluster_health,
    clustering_scores,
    feature_spread,
    knn_accuracy,
    linear_probe,
    normalized_mutual_info,
    rank_me,
)
from mmdeepcluster.models import BaseAlgorithm, extract


def _extract(
    algorithm: BaseAlgorithm, loader: DataLoader[Any], layers: tuple[str, ...], **how: Any
) -> dict[str, Tensor]:
    """A pass over images, with the threads that suit it."""
    with cores_of_pass(loader):
        return extract(algorithm, loader, layers, **how)


def _subset(num_samples: int, max_samples: int, seed: int) -> list[int] | None:
    """Sorted seeded indices when there are more samples than wanted, None for all."""
    if num_samples <= max_samples:
        return None
    generator = torch.Generator().manual_seed(derive_seed(seed, "evaluation subset"))
    chosen = torch.randperm(num_samples, generator=generator)[:max_samples]
    return [int(index) for index in chosen.sort().values]


def knn_score(
    resolved: ResolvedConfig, algorithm: BaseAlgorithm, features: Tensor | None = None
) -> dict[str, Any] | None:
    """k-NN accuracy of the backbone's features, or None where no labels are known; collective.

    Args:
        resolved: Config and data set.
        algorithm: The network.
        features: Backbone features (M, D) of the training images that are evaluated, all or the
            seeded subset, if there already; needed on the main process alone, empty on others.

    Returns:
        ``accuracy`` in 0..1 with the protocol it was measured by.
    """
    options = EvaluationOptions.from_config(resolved.cfg)
    labels = resolved.dataset.eval_labels
    if labels is None:
        return None
    seed = config_seed(resolved.cfg)
    subset = _subset(len(labels), options.max_samples, seed)
    if features is None:
        loader = eval_loader(resolved, resolved.dataset, subset)
        features = _extract(algorithm, loader, ("backbone",), keep=_main_keeps())["backbone"]
    labels = labels if subset is None else labels[subset]
    k = min(options.knn_k, len(labels) - 1)
    heldout = heldout_dataset(resolved)
    queries: dict[str, Any] = {}
    if heldout is not None and heldout.eval_labels is not None:
        loader = eval_loader(resolved, heldout)
        queries = {
            "test_features": _extract(algorithm, loader, ("backbone",), keep=_main_keeps())[
                "backbone"
            ],
            "test_labels": torch.from_numpy(heldout.eval_labels),
        }
    accuracy = None
    if is_main_process():
        accuracy = knn_accuracy(
            features,
            torch.from_numpy(np.asarray(labels)),
            k=k,
            temperature=options.knn_temperature,
            **queries,
        )
    return {
        "accuracy": from_main(accuracy),
        "k": k,
        "temperature": options.knn_temperature,
        "layer": "backbone",
        "bank": f"{len(labels)} training images",
        "queries": (
            f"{len(queries['test_labels'])} images of split '{options.test_split}'"
            if queries
            else "the same, leaving one out"
        ),
    }


def untrained_scores(resolved: ResolvedConfig, algorithm: BaseAlgorithm) -> dict[str, Any]:
    """What the report compares with, measured before training; collective.

    Returns:
        ``knn_untrained`` and ``features_untrained``, None where no labels are known.
    """
    labels = resolved.dataset.eval_labels
    if labels is None:
        return {"knn_untrained": None, "features_untrained": None}
    options = EvaluationOptions.from_config(resolved.cfg)
    seed = config_seed(resolved.cfg)
    subset = _subset(len(labels), options.max_samples, seed)
    loader = eval_loader(resolved, resolved.dataset, subset)
    features = _extract(algorithm, loader, ("neck", "backbone"), keep=_main_keeps())
    quality = None
    if is_main_process():
        known = labels if subset is None else labels[subset]
        quality = _feature_quality(features["neck"], known, algorithm, options, seed)
    return {
        "knn_untrained": knn_score(resolved, algorithm, features["backbone"]),
        "features_untrained": from_main(quality),
    }


def probe_score(
    resolved: ResolvedConfig, algorithm: BaseAlgorithm, features: Tensor | None = None
) -> dict[str, Any] | None:
    """Accuracy of a linear classifier on ``evaluation.probe_layer`` (R41); collective.

    Features are extracted once, in evaluation mode: the network cannot change.

    Args:
        resolved: Config and data set.
        algorithm: The network.
        features: Features (N, D) of the layer for all training images, if there already; needed
            on the main process alone, empty on others.

    Returns:
        What :func:`~mmdeepcluster.evaluation.linear_probe` found, on the main process; None
        elsewhere, and where no layer is named or there are no labelled test images.
    """
    options = EvaluationOptions.from_config(resolved.cfg)
    heldout = heldout_dataset(resolved)
    labels = resolved.dataset.eval_labels
    layer = options.probe_layer
    if layer is None or heldout is None or labels is None or heldout.eval_labels is None:
        return None
    seed = config_seed(resolved.cfg)
    subset = _subset(len(labels), options.max_samples, seed)
    if subset is not None or features is None:
        loader = eval_loader(resolved, resolved.dataset, subset)
        features = _extract(algorithm, loader, (layer,), keep=_main_keeps())[layer]
    test = _extract(algorithm, eval_loader(resolved, heldout), (layer,), keep=_main_keeps())[layer]
    if not is_main_process():
        return None
    known = torch.from_numpy(np.asarray(labels if subset is None else labels[subset]))
    device = algorithm.data_preprocessor.device
    result = linear_probe(
        features.to(device),
        known,
        test.to(device),
        torch.from_numpy(heldout.eval_labels),
        seed=derive_seed(seed, "linear probe"),
    )
    return {"layer": layer, **asdict(result)}


def scores_to_labels(assignments: Tensor, labels: np.ndarray | None) -> dict[str, float]:
    """NMI, AMI, ARI and Hungarian accuracy, empty where no labels are known."""
    if labels is None:
        return {}
    return clustering_scores(assignments.cpu().numpy(), labels)


class FinalResult(NamedTuple):
    """What an evaluation pass over all images gives.

    Attributes:
        report: Figures for the terminal and for ``report.json``.
        assignment: The assigner's answer for each image, in dataset order.
        labels: The labels at the end of training, int64 (N,).
    """

    report: dict[str, Any]
    assignment: Assignment
    labels: Tensor


def _main_keeps() -> Tensor | None:
    """Rows that a process asks of an extraction that the main one alone will look at."""
    return None if is_main_process() else torch.zeros(0, dtype=torch.int64)


def finalize(resolved: ResolvedConfig, algorithm: BaseAlgorithm) -> FinalResult | None:
    """Fits the assigner on an evaluation pass and measures features and clusters; collective.

    Returns:
        Figures and assignments on the main process, None on others.

    Raises:
        ValueError: If a feature is not finite.
    """
    dataset = resolved.dataset
    options = EvaluationOptions.from_config(resolved.cfg)
    both = dataset.eval_labels is not None and len(dataset) <= options.max_samples
    probed = (options.probe_layer,) if both and options.probe_layer is not None else ()
    layers = ("neck", "backbone", *probed) if both else ("neck",)
    # Only figures and (N,) vectors are sent, and features of at most evaluation.max_samples images.
    share = RowShare.of_this_process(len(dataset))
    features = _extract(algorithm, eval_loader(resolved, dataset), layers, share=share)
    whole = {name: share.gather(features.pop(name)) for name in layers[1:]}
    knn = knn_score(resolved, algorithm, whole.get("backbone"))
    probe = probe_score(resolved, algorithm, whole.get(options.probe_layer or ""))
    labels = algorithm.labels()
    assigner = algorithm.finalize(features["neck"], labels, share)
    own = assigner.assign(features["neck"], algorithm.data_preprocessor.device)
    assignment = Assignment(*(share.gather(column) for column in own))
    seed = config_seed(resolved.cfg)
    sample = _gather_subset(features["neck"], share, options.max_samples, seed)
    if not is_main_process():
        return None
    known, subset = dataset.eval_labels, _subset(len(dataset), options.max_samples, seed)
    if known is not None and subset is not None:
        known = known[subset]
    clusters = assignment.cluster
    counts = torch.bincount(clusters, minlength=assigner.num_clusters)
    report = {
        "data": {"num_images": len(dataset), "num_unreadable": dataset.num_unreadable},
        "knn": knn,
        "probe": probe,
        "memory": {
            **scores_to_labels(labels, dataset.eval_labels),
            **cluster_health(algorithm.cluster_counts.cpu().numpy()).as_dict(),
        },
        "assigner": {
            **scores_to_labels(clusters, dataset.eval_labels),
            **cluster_health(counts.numpy()).as_dict(),
            "agreement_with_memory": normalized_mutual_info(clusters.numpy(), labels.numpy()),
        },
        "features": _feature_quality(sample, known, algorithm, options, seed),
    }
    return FinalResult(report, assignment, labels)


def write_samples(
    path: Path, dataset: BaseImageDataset, assignment: Assignment, bank_labels: Tensor
) -> None:
    """Writes one row per image, in dataset order.

    Columns: ``index``, ``path``, ``label`` (name of the known class, or empty), ``cluster`` and
    ``distance`` (the assigner's answer), ``bank_label`` (the label at the end of training).
    """
    columns = {
        "cluster": assignment.cluster.numpy(),
        "distance": assignment.distance.numpy(),
        "bank_label": bank_labels.cpu().numpy(),
    }
    write_table(path, dataset, columns)


def _gather_subset(features: Tensor, share: RowShare, max_samples: int, seed: int) -> Tensor:
    """Seeded rows (M, D), or all, of the features of all processes, on each of them; collective."""
    subset = _subset(share.num_rows, max_samples, seed)
    if subset is None:
        return share.gather(features)
    chosen = torch.tensor(subset)
    mine = (chosen >= share.start) & (chosen < share.stop)
    rows = features.new_zeros(len(chosen), features.shape[1])
    rows[mine] = features[chosen[mine] - share.start]
    return share.all_reduce(rows)


def _feature_quality(
    features: Tensor,
    labels: np.ndarray | None,
    algorithm: BaseAlgorithm,
    options: EvaluationOptions,
    seed: int,
) -> dict[str, float]:
    """Quality of a sample (M, D) of the features that are clustered (R69).

    Two runs of k-means on unit rows, whatever the method clusters with, say how sure their
    clusters are, and with known labels (M,) how much these have to do with them.
    """
    rows = l2_normalize(features)
    quality = {"rank_me": rank_me(rows), "spread": feature_spread(rows)}
    number = options.num_clusters or algorithm.num_clusters
    if number > 1 and len(rows) >= number:
        kmeans = KMeans(number)
        rows = rows.to(algorithm.cluster_counts.device)
        runs = [
            kmeans.fit(rows, derive_seed(seed, "stability", run)).assignments.cpu().numpy()
            for run in range(2)
        ]
        quality["num_clusters"] = number
        quality["nmi_between_seeds"] = normalized_mutual_info(*runs)
        if labels is not None:
            quality["nmi"] = float(np.mean([normalized_mutual_info(r, labels) for r in runs]))
    return quality
