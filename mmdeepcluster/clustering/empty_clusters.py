"""No cluster is empty in what k-means returns (requirement R6)."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.fast_assign import nearest_certified
from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.two_means import two_means

_PERTURBATION = 1.0 / 1024.0
# Members of a cluster that are gathered to split it; the rest follow to the nearer part.
_SPLIT_SAMPLE = 4096


def repair_centroids(centroids: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Gives every empty cluster a perturbed copy of the largest cluster's centroid.

    The two copies are moved apart by 1/1024 of their numbers, with random signs, and count for half
    of the members each when the next donor is chosen. A function of centroids, counts and the
    generator, so that all processes do the same without a message.

    Args:
        centroids: Centroids (K, D); those of empty clusters are not looked at.
        counts: Members of each cluster, int64 (K,).
        generator: CPU generator.

    Returns:
        Centroids (K, D), changed in place.
    """
    empty = (counts == 0).nonzero().flatten().tolist()
    if not empty:
        return centroids
    counts = counts.clone()
    for cluster in empty:
        donor = int(counts.argmax())
        signs = torch.randint(2, (centroids.shape[1],), generator=generator) * 2 - 1
        change = signs.to(centroids) * _PERTURBATION
        centroids[cluster] = centroids[donor] * (1.0 + change)
        centroids[donor] *= 1.0 - change
        counts[cluster] = counts[donor] // 2
        counts[donor] -= counts[cluster]
    return centroids


def split_largest(
    points: Points, labels: Tensor, num_clusters: int, generator: torch.Generator
) -> Tensor:
    """Splits the largest clusters until none of the K is empty; collective.

    Args:
        points: The rows, N at least K.
        labels: Cluster of all N rows, int64 (N,), the same on every process.
        num_clusters: K.
        generator: CPU generator in the same state on every process.

    Returns:
        Labels (N,) in which every id of [0, K) occurs.
    """
    counts = torch.bincount(labels, minlength=num_clusters)
    empty = (counts == 0).nonzero().flatten().tolist()
    labels = labels.clone() if empty else labels
    for cluster in empty:
        largest = int(counts.argmax())
        moved = _second_part(points, (labels == largest).nonzero().flatten(), generator)
        labels[moved] = cluster
        counts[cluster] = len(moved)
        counts[largest] -= len(moved)
    return labels


def _second_part(points: Points, members: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of the second part of a 2-means split of ``members``."""
    if len(members) <= _SPLIT_SAMPLE:
        return members[two_means(points.take(members), generator)]
    chosen = torch.randperm(len(members), generator=generator)[:_SPLIT_SAMPLE].sort().values
    chosen = chosen.to(members.device)
    rows = points.take(members[chosen])
    second = two_means(rows, generator)
    means = torch.stack([rows[~second].mean(dim=0), rows[second].mean(dim=0)])
    # The sample keeps the sides that it has, so that neither part is empty.
    share = points.share
    here = members[(members >= share.start) & (members < share.stop)]
    side = torch.zeros(len(share), dtype=torch.uint8, device=members.device)
    for part in (here - share.start).split(_SPLIT_SAMPLE):
        side[part] = nearest_certified(points.source.take(part), means).to(torch.uint8)
    moved = share.gather(side)[members].bool()
    moved[chosen] = second
    return members[moved]


def drop_empty(labels: Tensor, num_clusters: int) -> Tensor:
    """Renumbers labels so that the ids that occur are [0, K_eff), in their order."""
    used = torch.bincount(labels, minlength=num_clusters) > 0
    return (used.cumsum(0) - 1)[labels]
