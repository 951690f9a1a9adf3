"""Means of clusters, the same bits on any number of processes."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.row_share import RowShare


@torch.no_grad()
def cluster_means(
    rows: Tensor, labels: Tensor, num_clusters: int, share: RowShare | None = None
) -> Tensor:
    """Mean of the rows of each cluster, fp32 (K, D); collective with a share.

    Sums are exact (:mod:`.points`), so they do not depend on order or number of processes.

    Args:
        rows: Rows (n, D) of this process.
        labels: Cluster of each of the N rows of all processes, int64 (N,), none of them empty.
        num_clusters: K.
        share: Which rows of the whole matrix (N, D) ``rows`` are. Defaults to all of them.

    Raises:
        ValueError: If a row holds NaN or infinity, numbers differ, or a cluster is empty.
    """
    points = Points(rows, share)
    if labels.shape != (points.num_rows,):
        raise ValueError(f"expected {points.num_rows} labels, got {tuple(labels.shape)}")
    labels = labels.to(points.device)
    counts = torch.bincount(labels, minlength=num_clusters)
    if int(counts.min()) == 0:
        raise ValueError(f"{int((counts == 0).sum())} of {num_clusters} clusters are empty")
    own = labels[points.share.start : points.share.stop]
    sums = points.share.all_reduce(points.sums(own, num_clusters))
    return (sums / counts.unsqueeze(1)).float()
