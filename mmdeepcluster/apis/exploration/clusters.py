"""Feature matrix, whitening, k-means, neighbours and the draws that follow."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdeepcluster.apis.exploration.setup import Setup
from mmdeepcluster.clustering import LinearTransform, l2_normalize
from mmdeepcluster.engine import ConfigError, derive_seed
from mmdeepcluster.models import ODC, AlternatingAlgorithm, BaseAlgorithm, sample_weights
from mmdeepcluster.visualization.exploration import (
    Clustering,
    Draws,
    Floats,
    Matrix,
    Neighborhood,
)

_NUM_NEIGHBORS = 8


@dataclass(frozen=True)
class Clusters:
    """What :func:`explore_clusters` found.

    Attributes:
        matrices: Stages of the feature matrix.
        clustering: The first clustering.
        neighborhoods: One for each own image.
        draws: An epoch of the sampler.
    """

    matrices: list[Matrix]
    clustering: Clustering
    neighborhoods: list[Neighborhood]
    draws: Draws


@torch.no_grad()
def explore_clusters(setup: Setup) -> Clusters:
    """Clusters all images as the method does at the start of its training.

    The method holds this clustering afterwards, and the sampler knows of it.
    """
    algorithm: Any = setup.algorithm
    features = setup.features().cpu()
    stages = _stages(algorithm, features)
    rows = stages[-1][1]
    seed = derive_seed(setup.seed, "recluster", 0)
    try:
        result = algorithm.clusterer.fit(rows, seed=seed)
        algorithm.recluster(features, seed)
    except ValueError as error:
        raise explained(error) from error
    labels = algorithm.labels()
    dissolved = -1
    if isinstance(algorithm, ODC):
        dissolved = int(algorithm.memory.num_refills)
        rows, centroids = algorithm.memory.features.cpu(), algorithm.memory.centroids.cpu()
    else:
        centroids = means_of(rows, labels, algorithm.num_clusters)
    table = torch.cdist(rows.double(), centroids.double())
    clustering = Clustering(
        labels=labels.numpy(),
        distances=table.gather(1, labels[:, None])[:, 0].numpy(),
        counts=algorithm.cluster_counts.cpu().numpy().copy(),
        objectives=result.objectives or objectives_by_limit(algorithm.clusterer, rows, seed),
        objective=result.objective,
        num_iters=result.num_iters,
        clusterer=type(algorithm.clusterer).__name__,
        num_super_clusters=getattr(algorithm, "num_super_clusters", 1),
        dissolved=dissolved,
    )
    return Clusters(
        matrices=[Matrix(name, value.numpy(), spectrum(value)) for name, value in stages],
        clustering=clustering,
        neighborhoods=[
            _neighborhood(rows, table[index].numpy(), index) for index in range(setup.num_own)
        ],
        draws=_draws(setup, labels),
    )


def explained(error: ValueError) -> ConfigError:
    """What a clustering refused, as an error for people."""
    return ConfigError(" ".join(str(error).split()))


def _stages(algorithm: BaseAlgorithm, features: Tensor) -> list[tuple[str, Tensor]]:
    """The feature matrix from extraction to what is clustered."""
    stages = [("as extracted", features)]
    transform = LinearTransform()
    if isinstance(algorithm, AlternatingAlgorithm) and algorithm.feature_transform is not None:
        try:
            transform = algorithm.feature_transform.fit(features)
        except ValueError as error:
            raise explained(error) from error
        name = "PCA, whitened" if algorithm.feature_transform.whiten else "PCA"
        stages.append((name, replace(transform, normalize=False)(features)))
    if transform.normalize:
        stages.append(("unit length", l2_normalize(stages[-1][1])))
    return stages


def spectrum(rows: Tensor) -> Floats:
    """Eigenvalues of the covariance of rows (N, D), the largest first, min(N - 1, D) of them."""
    centred = rows.double() - rows.double().mean(dim=0)
    values = torch.linalg.svdvals(centred).square() / len(rows)
    return values[: min(len(rows) - 1, rows.shape[1])].numpy()


def objectives_by_limit(clusterer: Any, rows: Tensor, seed: int) -> tuple[float, ...]:
    """Objective of a clusterer that may iterate once, twice, ...: of two levels, where no other is.

    Empty where it has no ``max_iters``.
    """
    if not hasattr(clusterer, "max_iters"):
        return ()
    found = []
    for limit in range(1, clusterer.max_iters + 1):
        limited = copy.copy(clusterer)
        limited.max_iters = limit
        found.append(limited.fit(rows, seed=seed).objective)
    return tuple(found)


def means_of(rows: Tensor, labels: Tensor, num_clusters: int) -> Tensor:
    """Mean (K, D) of the members of each cluster, fp64."""
    sums = torch.zeros(num_clusters, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, rows.double())
    counts = torch.bincount(labels, minlength=num_clusters)
    return sums / counts.clamp_min(1)[:, None]


def _neighborhood(rows: Tensor, centroid_distances: Floats, index: int) -> Neighborhood:
    distances = torch.cdist(rows[index : index + 1].double(), rows.double())[0]
    distances[index] = torch.inf
    number = min(_NUM_NEIGHBORS, len(rows) - 1)
    nearest = distances.topk(number, largest=False)
    return Neighborhood(centroid_distances, nearest.indices.numpy(), nearest.values.numpy())


def _draws(setup: Setup, labels: Tensor) -> Draws:
    """Draws one epoch from the sampler of the config."""
    sampler = setup.loader.batch_sampler.sampler
    if hasattr(sampler, "set_labels"):
        sampler.set_labels(labels)
    sampler.set_epoch(0)
    drawn = np.array([draw.index for draw in sampler], dtype=np.int64)
    times = np.bincount(drawn, minlength=len(labels))
    algorithm = setup.algorithm
    counts = algorithm.cluster_counts.cpu()
    power = float(getattr(getattr(algorithm, "loss_module", None), "power", 0.0))
    weights = sample_weights(counts, torch.arange(len(counts)), power).numpy() if power else None
    return Draws(
        sampler=type(sampler).__name__,
        counts=counts.numpy().copy(),
        draws=np.bincount(labels.numpy()[drawn], minlength=len(counts)),
        most=int(times.max()),
        missed=int((times == 0).sum()),
        weights=weights,
        power=power,
    )
