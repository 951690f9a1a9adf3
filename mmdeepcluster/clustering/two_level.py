"""k-means in two levels: super-clusters, and clusters inside each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import check_features
from mmdeepcluster.clustering.kmeans import KMeans, check_num_samples
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.registry import CLUSTERERS


@CLUSTERERS.register_module()
class TwoLevelKMeans:
    """k-means into m super-clusters, then k-means into K/m clusters inside each (R58).

    Cluster ``super * (K / m) + sub`` lies inside super-cluster ``super``, so the super-cluster of a
    sample is ``assignments // (K / m)``. A super-cluster with fewer than K/m rows takes the rows
    nearest to its centroid from those that have more, and every cluster can have a member.
    Source: DeeperCluster (arXiv 1905.01278).

    Works on all rows in one process.

    Args:
        num_clusters: K, the clusters of all super-clusters together. Derived from
            ``model.num_clusters`` in a config.
        num_super_clusters: m, which must divide K.
        max_iters: Most iterations of either level. Defaults to 10, the value of DeeperCluster.
        num_restarts: Restarts of either level. Defaults to 1.

    Raises:
        ValueError: If a number is less than 1 or m does not divide K.
    """

    derived_keys = {
        "num_clusters": "model.num_clusters",
        "num_super_clusters": "model.num_super_clusters",
    }

    def __init__(
        self,
        num_clusters: int,
        num_super_clusters: int,
        max_iters: int = 10,
        num_restarts: int = 1,
    ) -> None:
        if num_super_clusters < 1 or num_clusters < 1 or num_clusters % num_super_clusters:
            raise ValueError(
                f"model.num_clusters ({num_clusters}) must be a multiple of "
                f"model.clusterer.num_super_clusters ({num_super_clusters}), both at least 1"
            )
        self.num_clusters = num_clusters
        self.num_super_clusters = num_super_clusters
        self.max_iters = max_iters
        self.num_restarts = num_restarts
        self._kmeans(num_clusters)  # refuses the other numbers now

    @property
    def num_sub_clusters(self) -> int:
        """K/m, the clusters of each super-cluster."""
        return self.num_clusters // self.num_super_clusters

    def _kmeans(self, num_clusters: int) -> KMeans:
        return KMeans(num_clusters, max_iters=self.max_iters, num_restarts=self.num_restarts)

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Clusters the rows.

        Args:
            features: Matrix (N, D), any float type.
            seed: The same seed and features give the same labels.

        Returns:
            The K clusters. ``num_iters`` is that of the first level plus the most of the second.

        Raises:
            ValueError: If N is less than K, or a row holds NaN or infinity.
        """
        check_num_samples(len(features), self.num_clusters)
        check_features(features)
        generator = torch.Generator().manual_seed(seed)
        seeds = torch.randint(2**31, (self.num_super_clusters + 1,), generator=generator).tolist()
        top = self._kmeans(self.num_super_clusters).fit(features, seeds[0])
        supers = fill_small_clusters(
            features, top.assignments, top.centroids, self.num_sub_clusters
        )
        assignments = torch.empty_like(supers)
        parts = []
        for index, sub_seed in enumerate(seeds[1:]):
            members = (supers == index).nonzero().flatten()
            part = self._kmeans(self.num_sub_clusters).fit(features[members], sub_seed)
            assignments[members] = part.assignments + index * self.num_sub_clusters
            parts.append(part)
        return ClusterResult(
            assignments=assignments,
            centroids=torch.cat([part.centroids for part in parts]),
            counts=torch.cat([part.counts for part in parts]),
            objective=sum(part.objective * part.num_samples for part in parts) / len(features),
            num_iters=top.num_iters + max(part.num_iters for part in parts),
        )


def fill_small_clusters(
    features: Tensor, assignments: Tensor, centroids: Tensor, min_size: int
) -> Tensor:
    """Moves rows until each cluster has ``min_size`` of them.

    A cluster that is too small, lowest id first, takes the rows nearest to its centroid from
    clusters that have more than ``min_size``; no cluster gives away more than it has above that.

    Args:
        features: Rows (N, D), N at least ``min_size`` times the number of clusters.
        assignments: Cluster of each row, int64 (N,).
        centroids: Centroids (K, D).
        min_size: Smallest size.

    Returns:
        Assignments (N,), the same tensor where nothing was too small.
    """
    counts = torch.bincount(assignments, minlength=len(centroids))
    for cluster in (counts < min_size).nonzero().flatten().tolist():
        assignments = assignments.clone()
        # Rows of donors from the nearest to the farthest, and the place of each among those of
        # its donor: the places below the donor's surplus may go.
        rows = (counts > min_size)[assignments].nonzero().flatten()
        distance = (features[rows].float() - centroids[cluster]).square().sum(dim=1)
        rows = rows[distance.argsort(stable=True)]
        donors = assignments[rows]
        order = donors.argsort(stable=True)
        sizes = torch.bincount(donors, minlength=len(centroids))
        first = (sizes.cumsum(0) - sizes)[donors[order]]
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device) - first
        moved = rows[place < (counts - min_size)[donors]][: min_size - int(counts[cluster])]
        assignments[moved] = cluster
        counts = torch.bincount(assignments, minlength=len(centroids))
    return assignments
