"""The result of a clusterer that hands over labels and no more."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.result import ClusterResult


def summarize(
    features: Tensor, assignments: Tensor, num_clusters: int, num_iters: int
) -> ClusterResult:
    """Centroids, counts and objective of an assignment.

    Args:
        features: Rows (N, D).
        assignments: Cluster of each row, int64 (N,), every id of [0, K) occurring.
        num_clusters: K.
        num_iters: Iterations that were run.
    """
    points = Points(features)
    counts = torch.bincount(assignments, minlength=num_clusters)
    sums = points.sums(assignments, num_clusters)
    centroids = (sums / counts.unsqueeze(1)).float()
    objective = points.mean_distance(sums, counts, centroids)
    return ClusterResult(assignments, centroids, counts, objective, num_iters)
