"""Plain seeded k-means on a feature matrix, on any torch device."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import (
    check_features,
    cluster_sums,
    nearest_centroid,
)
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.two_means import two_means
from mmdeepcluster.registry import CLUSTERERS


@CLUSTERERS.register_module()
class KMeans:
    """Lloyd's algorithm in fp32, all points used, no cluster empty in what it returns.

    A centroid that lost its members moves to the point farthest from its own centroid; clusters
    still empty after the last assignment are refilled by splitting the largest one.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        max_iters: Most iterations; stops earlier when no label changes. Defaults to 20, the
            value of DeepCluster and ODC.
        num_restarts: Runs from different starts, of which the one with the lowest objective is
            kept. Defaults to 1.
    """

    derived_keys = {"num_clusters": "model.num_clusters"}

    def __init__(self, num_clusters: int, max_iters: int = 20, num_restarts: int = 1) -> None:
        for name, value in (
            ("num_clusters", num_clusters),
            ("max_iters", max_iters),
            ("num_restarts", num_restarts),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_clusters = num_clusters
        self.max_iters = max_iters
        self.num_restarts = num_restarts

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Clusters the rows.

        Args:
            features: Matrix (N, D), any float type; computed in fp32.
            seed: The same seed and features give the same labels.

        Returns:
            The run with the lowest objective.

        Raises:
            ValueError: If N is less than K, or a row holds NaN or infinity.
        """
        check_num_samples(features, self.num_clusters)
        check_features(features)
        features = features.float()
        generator = torch.Generator().manual_seed(seed)
        runs = [self._fit_once(features, generator) for _ in range(self.num_restarts)]
        return min(runs, key=lambda run: run.objective)

    def _fit_once(self, features: Tensor, generator: torch.Generator) -> ClusterResult:
        chosen = torch.randperm(len(features), generator=generator)[: self.num_clusters]
        centroids = features[chosen.to(features.device)]
        assignments = nearest_centroid(features, centroids)
        num_iters = 0
        while num_iters < self.max_iters:
            num_iters += 1
            centroids = self._update(features, assignments, centroids)
            moved = nearest_centroid(features, centroids)
            if torch.equal(moved, assignments):
                break
            assignments = moved
        assignments = fill_empty_clusters(features, assignments, self.num_clusters, generator)
        return summarize(features, assignments, self.num_clusters, num_iters)

    def _update(self, features: Tensor, assignments: Tensor, centroids: Tensor) -> Tensor:
        counts = torch.bincount(assignments, minlength=self.num_clusters)
        sums = cluster_sums(features, assignments, self.num_clusters)
        means = (sums / counts.clamp_min(1).unsqueeze(1)).float()
        empty = (counts == 0).nonzero().flatten()
        if len(empty):
            distance = (features - centroids[assignments]).square().sum(dim=1)
            # As many points as there are empty centroids; N >= K makes sure they exist.
            means[empty] = features[distance.topk(len(empty)).indices]
        return means


def check_num_samples(features: Tensor, num_clusters: int) -> None:
    """Refuses N < K.

    Raises:
        ValueError: If there are fewer rows than clusters.
    """
    num_samples = len(features)
    if num_samples < num_clusters:
        raise ValueError(
            f"cannot make {num_clusters} clusters from {num_samples} samples: "
            "lower model.num_clusters or give more images"
        )


def fill_empty_clusters(
    features: Tensor, assignments: Tensor, num_clusters: int, generator: torch.Generator
) -> Tensor:
    """Splits the largest clusters until none of the K is empty (R6).

    Args:
        features: Rows (N, D), N at least K.
        assignments: Cluster of each row, int64 (N,).
        num_clusters: K.
        generator: CPU generator for splits of equal rows.

    Returns:
        Assignments (N,) in which every id of [0, K) occurs.
    """
    counts = torch.bincount(assignments, minlength=num_clusters)
    empty = (counts == 0).nonzero().flatten().tolist()
    if not empty:
        return assignments
    assignments = assignments.clone()
    for cluster in empty:
        largest = int(counts.argmax())
        members = (assignments == largest).nonzero().flatten()
        moved = members[two_means(features[members], generator)]
        assignments[moved] = cluster
        counts[cluster] = len(moved)
        counts[largest] -= len(moved)
    return assignments


def summarize(
    features: Tensor, assignments: Tensor, num_clusters: int, num_iters: int
) -> ClusterResult:
    """Centroids, counts and objective of an assignment."""
    counts = torch.bincount(assignments, minlength=num_clusters)
    centroids = cluster_sums(features, assignments, num_clusters) / counts.unsqueeze(1)
    # mean |x - c|^2 = mean |x|^2 - sum_k n_k |c_k|^2 / N, in fp64 so that it does not cancel
    squares = [float(block.double().square().sum()) for block in features.split(65536)]
    within = sum(squares) - float((counts * centroids.square().sum(dim=1)).sum())
    return ClusterResult(
        assignments=assignments,
        centroids=centroids.float(),
        counts=counts,
        objective=max(0.0, within / len(features)),
        num_iters=num_iters,
    )


@CLUSTERERS.register_module()
class FaissKMeans(KMeans):
    """The same contract by ``faiss.Kmeans`` on the CPU, an optional extra.

    faiss does not promise that the last assignment leaves no cluster empty; such clusters are
    refilled as in :class:`KMeans`.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        max_iters: Iterations of faiss. Defaults to 20.
        num_restarts: ``nredo`` of faiss. Defaults to 1.

    Raises:
        ImportError: If faiss is not installed.
    """

    def __init__(self, num_clusters: int, max_iters: int = 20, num_restarts: int = 1) -> None:
        super().__init__(num_clusters, max_iters, num_restarts)
        try:
            import faiss
        except ImportError as error:
            raise ImportError(
                "FaissKMeans needs faiss: pip install mmdeepcluster[faiss], "
                "or use model.clusterer.type='KMeans'"
            ) from error
        self._faiss = faiss

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Clusters the rows (N, D); see :meth:`KMeans.fit`."""
        check_num_samples(features, self.num_clusters)
        check_features(features)
        matrix = features.float().cpu().contiguous()
        kmeans = self._faiss.Kmeans(
            matrix.shape[1],
            self.num_clusters,
            niter=self.max_iters,
            nredo=self.num_restarts,
            seed=seed % (2**31),
            max_points_per_centroid=len(matrix),  # every point is used; faiss would subsample
            min_points_per_centroid=1,
        )
        kmeans.train(matrix.numpy())
        centroids = torch.from_numpy(kmeans.centroids)
        assignments = nearest_centroid(matrix, centroids)
        generator = torch.Generator().manual_seed(seed)
        assignments = fill_empty_clusters(matrix, assignments, self.num_clusters, generator)
        result = summarize(matrix, assignments, self.num_clusters, self.max_iters)
        device = features.device
        return ClusterResult(
            assignments=result.assignments.to(device),
            centroids=result.centroids.to(device),
            counts=result.counts.to(device),
            objective=result.objective,
            num_iters=result.num_iters,
        )
