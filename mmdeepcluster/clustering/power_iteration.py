"""Power iteration clustering of a graph of nearest neighbours (PIC, R15)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from torch import Tensor

from mmdeepcluster.clustering.functional import check_features
from mmdeepcluster.clustering.kmeans import KMeans, check_num_samples
from mmdeepcluster.clustering.neighbors import nearest_neighbors
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.summarize import summarize
from mmdeepcluster.registry import CLUSTERERS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DEFAULT_ALPHA = 0.001
# In a dozen dimensions these cost little beside the graph.
_KMEANS_ITERS, _KMEANS_RESTARTS = 20, 20
# Lin & Cohen stop when the speed of no entry changes by more than this, divided by N.
_ACCELERATION = 1e-5
# Weights that underflow keep their edge: rows whose edges all do follow them equally.
_MIN_WEIGHT = 1e-300


@CLUSTERERS.register_module()
class PowerIterationClustering:
    """Clusters by power iteration on the graph of nearest neighbours, with a Gaussian kernel.

    Edge i -> j to each of the k nearest neighbours weighs ``exp(-|x_i - x_j|^2 / sigma^2)``.

    Without a number of clusters (Deep Clustering, arXiv 1807.05520, appendix): ``v`` starts
    uniform and is iterated by ``v <- (alpha (G + G^T) + 1 - alpha) v``, scaled to sum 1; each
    sample then follows the edge with the largest ``w_ij (v_j - v_i)`` until it reaches a local
    maximum, and samples that reach the same one are a cluster. A sample that stays alone joins
    the cluster of its nearest neighbour that is not alone.

    With K (Lin & Cohen: Power Iteration Clustering, ICML 2010): ``v <- W v`` with ``W`` the rows
    of ``G + G^T`` scaled to sum 1, stopped when the speed of ``v`` no longer changes; k-means on
    the result gives exactly K clusters. It starts from the degrees, as there, and also from
    ``ceil(log2 K)`` random vectors, since clusters may coincide in one (Lin & Cohen: A Very Fast
    Method for Clustering Big Text Datasets, ECAI 2010).

    The graph is exact and costs ``2 N^2 D`` operations (:func:`.nearest_neighbors`): minutes on a
    CPU for 100,000 samples; for a million use a GPU. The iteration runs in fp64 on the CPU and
    costs ``O(N k)`` each. Works on all rows in one process.

    Args:
        num_clusters: K, or None for the number that the graph has. Derived from
            ``model.num_clusters`` in a config.
        num_neighbors: k. Defaults to 5.
        sigma: Width of the kernel, for rows of unit length. Larger gives fewer clusters. Defaults
            to 0.2.
        alpha: Step of the iteration without a number of clusters; None is 0.001.
        num_iters: Iterations; the most of them with K. Defaults to 200.

    Raises:
        ValueError: If a number is out of range, or ``alpha`` is given with K, which has no use
            for it.
    """

    derived_keys = {"num_clusters": "model.num_clusters"}

    def __init__(
        self,
        num_clusters: int | None = None,
        num_neighbors: int = 5,
        sigma: float = 0.2,
        alpha: float | None = None,
        num_iters: int = 200,
    ) -> None:
        for name, value in (
            ("num_clusters", 1 if num_clusters is None else num_clusters),
            ("num_neighbors", num_neighbors),
            ("num_iters", num_iters),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if sigma <= 0:
            raise ValueError(f"sigma must be larger than 0, got {sigma}")
        if alpha is not None and num_clusters is not None:
            raise ValueError(
                f"alpha ({alpha}) is used only where num_clusters is None, but num_clusters is "
                f"{num_clusters}: remove model.clusterer.alpha"
            )
        if alpha is not None and not 0 < alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], got {alpha}")
        self.num_clusters = num_clusters
        self.num_neighbors = num_neighbors
        self.sigma = sigma
        self.alpha = _DEFAULT_ALPHA if alpha is None else alpha
        self.num_iters = num_iters

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Clusters the rows.

        Args:
            features: Matrix (N, D), any float type.
            seed: The same seed and features give the same labels. Without a number of clusters
                nothing is random.

        Returns:
            Clusters with the means of their rows, none of them empty.

        Raises:
            ValueError: If N is less than K or not more than ``num_neighbors``, or a row holds NaN
                or infinity.
        """
        if self.num_clusters is not None:
            check_num_samples(len(features), self.num_clusters)
        check_features(features)
        features = features.float()
        found, distances = nearest_neighbors(features, self.num_neighbors)
        neighbors: IntArray = found.cpu().numpy()
        exponents = -distances.double().cpu().numpy() / self.sigma**2
        weights = np.maximum(np.exp(exponents), _MIN_WEIGHT)
        graph = _symmetric(neighbors, weights)
        if self.num_clusters is None:
            v = self._smoothed_density(graph)
            labels = merge_singletons(local_maxima(v, neighbors, weights), neighbors)
            assignments = torch.from_numpy(labels).to(features.device)
            return summarize(features, assignments, int(labels.max()) + 1, self.num_iters)
        rows, num_iters = self._coordinates(graph, seed)
        kmeans = KMeans(self.num_clusters, max_iters=_KMEANS_ITERS, num_restarts=_KMEANS_RESTARTS)
        assignments = kmeans.fit(torch.from_numpy(rows), seed).assignments.to(features.device)
        return summarize(features, assignments, self.num_clusters, num_iters)

    def _smoothed_density(self, graph: csr_matrix) -> FloatArray:
        """``v`` (N,) after the iterations of arXiv 1807.05520."""
        v = np.full(graph.shape[0], 1.0 / graph.shape[0])
        for _ in range(self.num_iters):
            v = self.alpha * (graph @ v) + (1 - self.alpha) * v
            v /= v.sum()
        return v

    def _coordinates(self, graph: csr_matrix, seed: int) -> tuple[FloatArray, int]:
        """Pseudo-eigenvectors (N, 1 + ceil(log2 K)) of unit variance, and iterations."""
        num_rows = graph.shape[0]
        num_vectors = int(np.ceil(np.log2(max(2, self.num_clusters or 2))))
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(num_rows, num_vectors, generator=generator, dtype=torch.float64)
        degrees = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
        v = np.concatenate([degrees, start.numpy()], axis=1)
        v /= v.sum(axis=0)
        speed = np.zeros_like(v)
        num_iters = 0
        while num_iters < self.num_iters:
            num_iters += 1
            moved = (graph @ v) / degrees
            moved /= moved.sum(axis=0)
            change, v = np.abs(moved - v), moved
            if np.abs(change - speed).max() < _ACCELERATION / num_rows:
                break
            speed = change
        deviation = v.std(axis=0)
        # Columns that became constant to the last bits say nothing; scaled up they would.
        scale = np.where(deviation * num_rows > 1e-9, deviation, np.inf)
        return (v - v.mean(axis=0)) / scale, num_iters


def _symmetric(neighbors: IntArray, weights: FloatArray) -> csr_matrix:
    """``G + G^T`` of edges (N, k)."""
    num_rows, num_neighbors = neighbors.shape
    sources = np.repeat(np.arange(num_rows), num_neighbors)
    edges = (weights.ravel(), (sources, neighbors.ravel()))
    graph = coo_matrix(edges, shape=(num_rows, num_rows)).tocsr()
    return (graph + graph.T).tocsr()


def local_maxima(v: FloatArray, neighbors: IntArray, weights: FloatArray) -> IntArray:
    """Local maximum of ``v`` that each node reaches by its steepest edges.

    Args:
        v: Values (N,).
        neighbors: Ends of the edges of each node (N, k).
        weights: Weights of the edges (N, k).

    Returns:
        Number of the maximum (N,), itself for a maximum.
    """
    rise = weights * (v[neighbors] - v[:, None])
    steepest = rise.argmax(axis=1)
    nodes = np.arange(len(v))
    target = np.where(rise[nodes, steepest] > 0, neighbors[nodes, steepest], nodes)
    # Every step rises, so there is no circle; each round doubles the steps that are taken.
    while not np.array_equal(target[target], target):
        target = target[target]
    return target


def merge_singletons(labels: IntArray, neighbors: IntArray) -> IntArray:
    """Lets nodes that are alone join others, and numbers the clusters from 0.

    Args:
        labels: Cluster of each node (N,), any numbers.
        neighbors: Its neighbours (N, k), the nearest first.

    Returns:
        Labels (N,) from 0 on. A node stays alone only if no path of nodes that are alone leads to
        a cluster of two or more.
    """
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    while True:
        alone = np.bincount(labels)[labels] == 1
        nodes = alone.nonzero()[0]
        joinable = ~alone[neighbors[nodes]]
        nodes, joinable = nodes[joinable.any(axis=1)], joinable[joinable.any(axis=1)]
        if not len(nodes):
            return np.unique(labels, return_inverse=True)[1].astype(np.int64)
        labels[nodes] = labels[neighbors[nodes, joinable.argmax(axis=1)]]
