"""Samples memory and centroids memory of Online Deep Clustering.

[0] Zhan, Xie, Liu, Ong, Loy: Online Deep Clustering for Unsupervised Representation Learning,
    CVPR 2020, arXiv 2006.10645, sections 3.1 and 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import (
    check_features,
    check_metric,
    cluster_sums,
    l2_normalize,
    nearest_centroid,
)
from mmdeepcluster.clustering.two_means import two_means
from mmdeepcluster.models.memories.label_bank import LabelBank
from mmdeepcluster.registry import MEMORIES

_REFILL_SEED = 0x0DC


class MemoryUpdate(NamedTuple):
    """What one update saw; 0-d tensors on the device of the memory, so that nothing waits.

    Attributes:
        change_ratio: Share of the distinct samples of the batch whose label changed.
        zero_rows: Number of features of the batch that are zero, hence carry no direction.
        bad_rows: Number of features of the batch that hold NaN or infinity; these were not
            written into the memory.
    """

    change_ratio: Tensor
    zero_rows: Tensor
    bad_rows: Tensor


class Refill(NamedTuple):
    """A cluster id that was emptied and given members of another cluster."""

    cluster: int
    parent: int


@MEMORIES.register_module()
class ODCMemory(LabelBank):
    """Feature and label of every sample, and the centroids, evolving with the network [0].

    All sums are running sums: an update costs O(batch * D), whatever N. The one exception is an
    iteration in which a cluster fell below ``min_cluster_size``: it scans the labels for members.

    Args:
        num_samples: N. Derived from the data set in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        feature_dim: D. Derived from the neck in a config.
        momentum: Weight m of the new feature in ``F <- m f/|f| + (1-m) F`` [0, Eq. 2]. Defaults
            to 0.5. Changes results.
        min_cluster_size: A cluster with fewer members is dissolved [0, section 3.2]. Defaults to
            20, the value of the paper; a config that leaves it out or says ``'auto'`` gets one
            derived from N and K. Changes results.
        centroids_update_interval: Iterations between refreshes of the centroids. Defaults to 10.
            Changes results.
        assign_metric: ``l2`` is the paper (Eq. 3), ``dot`` the released code; they differ because
            centroids are not of unit length. Defaults to ``l2``. Changes results.
        renormalize: Whether a row is scaled to unit length after the update, as the released code
            does. Defaults to True. Changes results.

    Raises:
        ValueError: If an option is out of range, or ``K * min_cluster_size`` exceeds N.
    """

    derived_keys = {**LabelBank.derived_keys, "feature_dim": "model.neck"}

    features: Tensor
    centroids: Tensor
    sums: Tensor
    num_refills: Tensor

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        feature_dim: int,
        momentum: float = 0.5,
        min_cluster_size: int = 20,
        centroids_update_interval: int = 10,
        assign_metric: str = "l2",
        renormalize: bool = True,
    ) -> None:
        super().__init__(num_samples, num_clusters)
        if not 0 < momentum <= 1:
            raise ValueError(f"model.memory.momentum must be in (0, 1], got {momentum}")
        if centroids_update_interval < 1:
            raise ValueError(
                "model.memory.centroids_update_interval must be at least 1 iteration, "
                f"got {centroids_update_interval}"
            )
        if min_cluster_size < 1 or num_clusters * min_cluster_size > num_samples:
            raise ValueError(
                f"model.memory.min_cluster_size must be at least 1 and at most N / K = "
                f"{num_samples} / {num_clusters}, got {min_cluster_size}"
            )
        self.feature_dim = feature_dim
        self.momentum = momentum
        self.min_cluster_size = min_cluster_size
        self.centroids_update_interval = centroids_update_interval
        self.assign_metric = check_metric(assign_metric)
        self.renormalize = renormalize
        self.register_buffer("features", torch.zeros(num_samples, feature_dim), persistent=False)
        self.register_buffer("centroids", torch.zeros(num_clusters, feature_dim), persistent=False)
        sums = torch.zeros(num_clusters, feature_dim, dtype=torch.float64)
        self.register_buffer("sums", sums, persistent=False)
        self.register_buffer("num_refills", torch.tensor(0), persistent=False)

    @torch.no_grad()
    def fill(self, features: Tensor, assignments: Tensor) -> list[Refill]:
        """Starts from features of all samples and one global clustering of them.

        Args:
            features: Matrix (N, D); stored with unit rows.
            assignments: Cluster of each sample, int64 (N,), none empty.

        Returns:
            The clusters below ``min_cluster_size`` that were dissolved at once.
        """
        if features.shape != self.features.shape:
            raise ValueError(
                f"expected features {tuple(self.features.shape)}, got {tuple(features.shape)}"
            )
        check_features(features)
        self.assign_all(assignments)
        self.features.copy_(l2_normalize(features))
        self.recompute_sums()
        self.refresh_centroids()
        return self.dissolve_small_clusters()

    @torch.no_grad()
    def update(self, sample_idx: Tensor, features: Tensor, reassign: bool = True) -> MemoryUpdate:
        """Moves the rows of a batch towards its features and assigns them anew [0, Eqs. 2, 3].

        A sample that occurs several times in the batch takes its last occurrence; a row with NaN
        or infinity is left as it was.

        Args:
            sample_idx: Samples, int64 (B,).
            features: Their features (B, D), of the training pass.
            reassign: Whether labels follow. False moves features and sums alone.

        Returns:
            Counts for the log.
        """
        features = features.float()
        last, keep = _last_occurrences(sample_idx)
        finite = torch.isfinite(features).all(dim=1)
        keep &= finite
        old, old_label = self.features[sample_idx], self.labels[sample_idx]
        new = self.momentum * l2_normalize(features) + (1 - self.momentum) * old
        if self.renormalize:
            new = l2_normalize(new)
        new = torch.where(finite.unsqueeze(1), new, old)[last]
        label = old_label
        if reassign:
            nearest = nearest_centroid(new, self.centroids, self.assign_metric)
            label = torch.where(finite[last], nearest, old_label)
        # Equal samples write equal rows, so the result does not depend on the order of writing.
        self.features[sample_idx] = new
        self.labels[sample_idx] = label
        self._move(old_label, old, label, new, keep)
        changed = (label != old_label) & keep
        return MemoryUpdate(
            change_ratio=changed.sum() / keep.sum().clamp_min(1),
            zero_rows=(features == 0).all(dim=1).sum(),
            bad_rows=(~finite).sum(),
        )

    def _move(
        self, old_label: Tensor, old: Tensor, label: Tensor, new: Tensor, keep: Tensor
    ) -> None:
        """Takes rows out of the sums of their old clusters and puts them into the new ones."""
        weight = keep.to(torch.float64).unsqueeze(1)
        self.sums.index_add_(0, old_label, old.double() * -weight)
        self.sums.index_add_(0, label, new.double() * weight)
        one = keep.to(torch.int64)
        self.counts.index_add_(0, old_label, -one)
        self.counts.index_add_(0, label, one)

    @torch.no_grad()
    def refresh_centroids(self) -> None:
        """Sets each centroid to the mean of its members' features [0, section 3.1].

        An empty cluster keeps its centroid until :meth:`dissolve_small_clusters` refills it.
        """
        means = (self.sums / self.counts.clamp_min(1).unsqueeze(1)).float()
        self.centroids.copy_(torch.where(self.counts.unsqueeze(1) > 0, means, self.centroids))

    @torch.no_grad()
    def recompute_sums(self) -> None:
        """Computes counts and sums from all labels and features, O(N * D)."""
        self.counts.copy_(torch.bincount(self.labels, minlength=self.num_clusters))
        self.sums.copy_(cluster_sums(self.features, self.labels, self.num_clusters))

    @torch.no_grad()
    def dissolve_small_clusters(self) -> list[Refill]:
        """Empties clusters below ``min_cluster_size`` and refills them from the largest ones.

        Members of a small cluster go to the nearest normal centroid. Then each emptied id takes
        one part of a 2-means split of the largest cluster [0, section 3.2]. Neither part is left
        below the minimum; where the largest cluster is too small for that, the id takes the
        samples that lie farthest from the centroids of clusters with members to spare.

        Returns:
            The refilled ids with the cluster they took members from.
        """
        small = self.counts < self.min_cluster_size
        if not bool(small.any()):
            return []
        members = small[self.labels].nonzero().flatten()
        if len(members):
            target = nearest_centroid(
                self.features[members], self.centroids, self.assign_metric, allowed=~small
            )
            self._relabel(members, target)
        return [self._refill(cluster) for cluster in small.nonzero().flatten().tolist()]

    def _relabel(self, members: Tensor, target: Tensor) -> None:
        rows, everyone = self.features[members], torch.ones_like(members, dtype=torch.bool)
        self._move(self.labels[members], rows, target, rows, everyone)
        self.labels[members] = target

    def _refill(self, cluster: int) -> Refill:
        parent = int(self.counts.argmax())
        if int(self.counts[parent]) >= 2 * self.min_cluster_size:
            members = (self.labels == parent).nonzero().flatten()
            generator = torch.Generator().manual_seed(_REFILL_SEED + int(self.num_refills))
            side = two_means(self.features[members], generator, self.min_cluster_size)
            members = members[side]
        else:
            members = self._spare_members()
        self._relabel(members, torch.full_like(members, cluster))
        self.num_refills += 1
        changed = torch.tensor([cluster, parent], device=self.sums.device)
        means = self.sums[changed] / self.counts[changed].unsqueeze(1)
        self.centroids[changed] = means.float()
        return Refill(cluster, parent)

    def _spare_members(self) -> Tensor:
        """The ``min_cluster_size`` samples that fit worst, leaving every donor large enough.

        ``K * min_cluster_size <= N`` makes sure that there are enough of them.
        """
        distance = (self.features - self.centroids[self.labels]).square().sum(dim=1)
        spare = (self.counts - self.min_cluster_size).clamp_min(0)
        # Farthest first; of each cluster only as many as it can spare.
        order = distance.sort(descending=True, stable=True).indices
        by_cluster = order[self.labels[order].sort(stable=True).indices]
        starts = self.counts.cumsum(0) - self.counts
        position = torch.arange(len(order), device=order.device) - starts[self.labels[by_cluster]]
        offered = by_cluster[position < spare[self.labels[by_cluster]]]
        farthest = distance[offered].sort(descending=True, stable=True).indices
        return offered[farthest[: self.min_cluster_size]]


def _last_occurrences(sample_idx: Tensor) -> tuple[Tensor, Tensor]:
    """For each position the last position of the same sample, and whether it is that position.

    Sorting keeps the shapes fixed, so that a GPU need not wait as ``torch.unique`` makes it.
    """
    ordered, order = sample_idx.sort(stable=True)
    last_sorted = torch.searchsorted(ordered, ordered, right=True) - 1
    last = torch.empty_like(order)
    last[order] = order[last_sorted]
    return last, last == torch.arange(len(order), device=order.device)
