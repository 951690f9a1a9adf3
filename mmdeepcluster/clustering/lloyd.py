"""Lloyd's algorithm on rows that may be dealt to several processes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.empty_clusters import repair_centroids
from mmdeepcluster.clustering.fast_assign import CentroidSearch, SearchRows
from mmdeepcluster.clustering.points import Points


class Totals(NamedTuple):
    """What one message adds up over all processes.

    Attributes:
        sums: Sum of the members of each cluster, fp64 (K, D), exact.
        counts: Members of each cluster, int64 (K,).
        changed: Rows whose label changed.
    """

    sums: Tensor
    counts: Tensor
    changed: int


class Lloyd:
    """State of one run: labels and sums of this process's rows.

    Args:
        points: The rows; all calls are collective where there are several processes.
        num_clusters: K.
        spherical: Whether centroids have unit length and the largest product wins.
        generator: CPU generator in the same state on every process.
        rows: The rows as they are searched, shared between runs.

    Attributes:
        labels: Cluster of each row of this process, int64.
    """

    def __init__(
        self,
        points: Points,
        num_clusters: int,
        spherical: bool,
        generator: torch.Generator,
        rows: SearchRows,
    ) -> None:
        self.points = points
        self.num_clusters = num_clusters
        self.spherical = spherical
        self.generator = generator
        self.rows = rows
        self.labels: Tensor | None = None
        self._sums: Tensor | None = None

    def start_from_labels(self, labels: Tensor) -> Totals:
        """Takes labels over and returns the totals of the clusters they make."""
        self.labels = labels
        self._sums = self.points.sums(labels, self.num_clusters)
        return self._totals(len(labels))

    def update(self, totals: Totals) -> Tensor:
        """Centroids (K, D), fp32: means of the members, empty clusters repaired."""
        means = totals.sums / totals.counts.clamp_min(1).unsqueeze(1)
        means = repair_centroids(means, totals.counts, self.generator)
        return self.finish(means)

    def finish(self, means: Tensor) -> Tensor:
        """Means as centroids: in fp32, and scaled to unit length if spherical."""
        if self.spherical:
            means = means / means.norm(dim=1, keepdim=True).clamp_min(1e-30)
        return means.float()

    def assign(self, centroids: Tensor) -> Totals:
        """Moves each row to its nearest centroid."""
        search = CentroidSearch(centroids, self.rows.metric, self.rows.shift)
        labels = search.assign(self.rows)
        old = self.labels
        if old is None or self._sums is None:
            return self.start_from_labels(labels)
        changed = int((labels != old).sum())
        if 2 * changed < len(labels):
            self.points.move(self._sums, old, labels)
        else:  # the same bits, as sums are exact, in less time
            self._sums = self.points.sums(labels, self.num_clusters)
        self.labels = labels
        return self._totals(changed)

    def _totals(self, changed: int) -> Totals:
        assert self.labels is not None and self._sums is not None
        counts = torch.bincount(self.labels, minlength=self.num_clusters)
        # One message: K (D + 1) numbers of 8 bytes and one more. All are integers or on a grid.
        message = torch.cat(
            [self._sums.flatten(), counts.double(), counts.new_tensor([changed]).double()]
        )
        message = self.points.share.all_reduce(message)
        size = self._sums.numel()
        return Totals(
            message[:size].view_as(self._sums),
            message[size:-1].to(torch.int64),
            int(message[-1]),
        )
