"""What a clustering of N features into K clusters hands back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClusterResult:
    """An assignment of N samples to K clusters, none of which is empty.

    Attributes:
        assignments: Cluster of each sample, int64 (N,).
        centroids: Mean of the members of each cluster, fp32 (K, D); of unit length in spherical
            k-means.
        counts: Members of each cluster, int64 (K,), all at least 1.
        objective: Mean squared distance of the samples to their centroids.
        num_iters: Iterations that were run.
        objectives: Mean squared distance after each iteration, to the centroids that it assigned
            to. Does not increase where no empty cluster was repaired. Empty where unknown.

    Raises:
        ValueError: If shapes or types disagree, an id is outside [0, K), the counts are not those
            of the assignments, or a cluster is empty.
    """

    assignments: Tensor
    centroids: Tensor
    counts: Tensor
    objective: float
    num_iters: int
    objectives: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.assignments.dtype != torch.int64 or self.assignments.ndim != 1:
            raise ValueError(
                f"assignments must be int64 (N,), got {self.assignments.dtype} "
                f"{tuple(self.assignments.shape)}"
            )
        if self.centroids.ndim != 2 or self.counts.shape != self.centroids.shape[:1]:
            raise ValueError(
                f"centroids must be (K, D) and counts (K,), got {tuple(self.centroids.shape)} "
                f"and {tuple(self.counts.shape)}"
            )
        low, high = int(self.assignments.min()), int(self.assignments.max())
        if low < 0 or high >= self.num_clusters:
            raise ValueError(
                f"assignments lie in [{low}, {high}] but there are {self.num_clusters} clusters"
            )
        actual = torch.bincount(self.assignments, minlength=self.num_clusters)
        if not torch.equal(actual, self.counts):
            raise ValueError("counts are not the sizes of the clusters in assignments")
        empty = int((self.counts == 0).sum())
        if empty:
            raise ValueError(f"{empty} of {self.num_clusters} clusters are empty")

    @property
    def num_clusters(self) -> int:
        """K, the number of clusters."""
        return len(self.centroids)

    @property
    def num_samples(self) -> int:
        """N, the number of samples."""
        return len(self.assignments)
