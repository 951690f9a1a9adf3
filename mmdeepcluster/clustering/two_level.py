"""k-means in two levels: super-clusters, and clusters inside each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from mmdeepcluster.clustering.fill_clusters import fill_small_clusters
from mmdeepcluster.clustering.kmeans import KMeans, check_num_samples
from mmdeepcluster.clustering.redistribute import copy_rows, redistribute
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import Matrix, RowSource
from mmdeepcluster.clustering.super_groups import deal_processes, run_in_groups
from mmdeepcluster.registry import CLUSTERERS


@CLUSTERERS.register_module()
class TwoLevelKMeans:
    """k-means into m super-clusters, then k-means into K/m clusters inside each (R58).

    Cluster ``super * (K / m) + sub`` lies inside super-cluster ``super``, so the super-cluster of a
    sample is ``assignments // (K / m)``. A super-cluster with fewer than K/m rows takes the rows
    nearest to its centroid from those that have more, and every cluster can have a member.
    With m = 1 and with m = K it is k-means in one level.
    Source: DeeperCluster (arXiv 1905.01278).

    Several processes cluster the first level together. Then each row is sent once, to the processes
    that cluster its super-cluster (:func:`.deal_processes`), and all super-clusters are worked on
    at the same time. The result has the bits of one process, which copies the rows of one
    super-cluster after the other.

    Args:
        num_clusters: K, the clusters of all super-clusters together. Derived from
            ``model.num_clusters`` in a config.
        num_super_clusters: m, which must divide K. Derived from ``model.num_super_clusters``.
        max_iters: Most iterations of either level. Defaults to 10, the value of DeeperCluster.
        num_restarts: Restarts of either level. Defaults to 1.

    Raises:
        ValueError: If a number is less than 1 or m does not divide K.
    """

    derived_keys = {
        "num_clusters": "model.num_clusters",
        "num_super_clusters": "model.num_super_clusters",
    }
    # Whether processes can cluster together, each with its share of the rows.
    distributed = True

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
                f"model.num_super_clusters ({num_super_clusters}), both at least 1"
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

    def fit(self, features: Matrix, seed: int, *, share: RowShare | None = None) -> ClusterResult:
        """Clusters the rows.

        Args:
            features: Matrix (N, D) of any float type, computed in fp32: a tensor, an array, or a
                memory map, of which one process copies one super-cluster at a time.
            seed: The same seed and features give the same labels.
            share: ``features`` are these rows alone, and all processes cluster together. Each
                process then holds about N/W rows more, or its super-clusters if there are fewer
                processes than these.

        Returns:
            The K clusters, for all N rows on every process. ``num_iters`` is that of the first
            level plus the most of the second.

        Raises:
            ValueError: If N is less than K, or a row holds NaN or infinity.
            RuntimeError: If another process failed while it clustered its super-clusters.
        """
        source = RowSource(features)
        share = RowShare(len(source)) if share is None else share
        check_num_samples(share.num_rows, self.num_clusters)
        generator = torch.Generator().manual_seed(seed)
        seeds = torch.randint(2**31, (self.num_super_clusters + 1,), generator=generator).tolist()
        if self.num_super_clusters == 1:
            return self._kmeans(self.num_clusters).fit(features, seeds[1], share=share)
        top = self._kmeans(self.num_super_clusters).fit(features, seeds[0], share=share)
        if self.num_sub_clusters == 1:
            return top
        supers = fill_small_clusters(
            source, share, top.assignments, top.centroids, self.num_sub_clusters
        )
        if share.world_size == 1:
            parts = self._fit_in_turn(source, supers, seeds[1:])
        else:
            parts = self._fit_in_groups(source, share, supers, seeds[1:])
        return self._join(supers, parts, top.num_iters)

    def _fit_in_turn(
        self, source: RowSource, supers: Tensor, seeds: Sequence[int]
    ) -> list[ClusterResult]:
        parts = []
        for index, seed in enumerate(seeds):
            members = (supers == index).nonzero().flatten()
            rows = torch.empty(len(members), source.dim, device=source.device)
            copy_rows(source, members, rows)
            parts.append(self._kmeans(self.num_sub_clusters).fit(rows, seed))
            del rows  # before the next ones are copied
        return parts

    def _fit_in_groups(
        self, source: RowSource, share: RowShare, supers: Tensor, seeds: Sequence[int]
    ) -> list[ClusterResult]:
        sizes = torch.bincount(supers, minlength=len(seeds)).tolist()
        groups = deal_processes(sizes, share.world_size)
        own_rows = redistribute(source, share, supers, groups)

        def work(group: ProcessGroup | None) -> dict[int, ClusterResult]:
            found = {}
            for index in list(own_rows):
                ranks = groups[index]
                inner = RowShare(sizes[index], share.rank - ranks.start, len(ranks), group)
                kmeans = self._kmeans(self.num_sub_clusters)
                found[index] = kmeans.fit(own_rows[index], seeds[index], share=inner)
            return found

        own = run_in_groups(share, groups, work)
        return [
            self._tell(share, ranks.start, own.get(index), sizes[index], source)
            for index, ranks in enumerate(groups)
        ]

    def _tell(
        self,
        share: RowShare,
        teller: int,
        part: ClusterResult | None,
        num_rows: int,
        source: RowSource,
    ) -> ClusterResult:
        """The clusters inside one super-cluster, from the process that tells all others."""
        size, device = self.num_sub_clusters, source.device
        labels = torch.empty(num_rows, dtype=torch.int32, device=device)
        centroids = torch.empty(size, source.dim, device=device)
        figures = torch.empty(2, dtype=torch.float64, device=device)
        if part is not None and share.rank == teller:
            labels.copy_(part.assignments)
            centroids.copy_(part.centroids)
            figures.copy_(torch.tensor([part.objective, part.num_iters], dtype=torch.float64))
        assignments = share.broadcast(labels, teller).to(torch.int64)
        objective, num_iters = share.broadcast(figures, teller).tolist()
        return ClusterResult(
            assignments=assignments,
            centroids=share.broadcast(centroids, teller),
            counts=torch.bincount(assignments, minlength=size),
            objective=objective,
            num_iters=int(num_iters),
        )

    def _join(
        self, supers: Tensor, parts: Sequence[ClusterResult], num_iters: int
    ) -> ClusterResult:
        assignments = torch.empty_like(supers)
        for index, part in enumerate(parts):
            assignments[supers == index] = part.assignments + index * self.num_sub_clusters
        return ClusterResult(
            assignments=assignments,
            centroids=torch.cat([part.centroids for part in parts]),
            counts=torch.cat([part.counts for part in parts]),
            objective=sum(part.objective * part.num_samples for part in parts) / len(supers),
            num_iters=num_iters + max(part.num_iters for part in parts),
        )
