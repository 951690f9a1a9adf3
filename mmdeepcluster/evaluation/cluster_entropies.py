"""How mixed each cluster is, where labels are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmdeepcluster.evaluation.cluster_metrics import check_pair


@dataclass(frozen=True, eq=False)
class ClusterEntropies:
    """Mixture of known labels in each of M non-empty clusters (R29).

    Attributes:
        clusters: Ids of the clusters that hold samples, ascending, int64 (M,).
        counts: Their sizes, int64 (M,).
        entropies: Entropy of the labels in each, in nats (M,): 0 for a pure cluster, ln C for one
            of C labels in equal shares.
        noise: 1 minus the share of the commonest label in each (M,): 0 for a pure cluster.
    """

    clusters: NDArray[np.int64]
    counts: NDArray[np.int64]
    entropies: NDArray[np.float64]
    noise: NDArray[np.float64]

    @property
    def mean_entropy(self) -> float:
        """Mean of ``entropies``; each cluster counts once, whatever its size."""
        return float(self.entropies.mean())

    @property
    def mean_noise(self) -> float:
        """Mean of ``noise``; each cluster counts once, whatever its size."""
        return float(self.noise.mean())


def cluster_entropies(assignments: ArrayLike, labels: ArrayLike) -> ClusterEntropies:
    """Entropy of the known labels in each cluster, and its noise [0].

    Both fall as clusters get smaller, down to 0 for clusters of one sample: compare clusterings
    of the same number of clusters.

    - [0]: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 4.1.

    Args:
        assignments: Cluster of each sample (N,).
        labels: Class of each sample (N,).

    Returns:
        One entry per cluster that holds a sample.

    Raises:
        ValueError: If the lengths differ, there are no samples, or ids are negative or no
            integers.
    """
    clusters, classes = check_pair(assignments, labels, ("assignments", "labels"))
    ids, rows, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    classes = np.unique(classes, return_inverse=True)[1]
    # only pairs that occur: a table of 10,000 clusters x 1,000 classes would be mostly zeros
    width = int(classes.max()) + 1
    pairs, numbers = np.unique(rows * width + classes, return_counts=True)
    owners = pairs // width
    shares = numbers / counts[owners]
    entropies = -np.bincount(owners, weights=shares * np.log(shares), minlength=len(ids))
    largest = np.zeros(len(ids))
    np.maximum.at(largest, owners, shares)
    return ClusterEntropies(
        clusters=ids,
        counts=counts.astype(np.int64),
        entropies=np.maximum(entropies, 0.0),  # -0.0 of pure clusters
        noise=1.0 - largest,
    )
