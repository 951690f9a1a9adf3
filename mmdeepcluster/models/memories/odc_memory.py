"""Samples memory and centroids memory of Online Deep Clustering.

[0] Zhan, Xie, Liu, Ong, Loy: Online Deep Clustering for Unsupervised Representation Learning,
    CVPR 2020, arXiv 2006.10645, sections 3.1 and 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmengine.dist import all_gather, all_reduce
from torch import Tensor

from mmdeepcluster.clustering.exact_sums import grid_bits, to_grid
from mmdeepcluster.clustering.functional import (
    check_features,
    check_metric,
    cluster_sums,
    l2_normalize,
    nearest_centroid,
)
from mmdeepcluster.clustering.host_copy import HostCopy
from mmdeepcluster.clustering.two_means import two_means
from mmdeepcluster.models.memories.label_bank import LabelBank
from mmdeepcluster.registry import MEMORIES

_REFILL_SEED = 0x0DC
# A larger cluster is split by what this many of its members say.
_SPLIT_SAMPLE = 4096
_ROWS = 4096
_CENTROIDS = 512


class MemoryUpdate(NamedTuple):
    """What one update saw on all processes; 0-d tensors on the device, so that nothing waits.

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

    Owner computes: each process holds features, labels and sums of its own samples. An update
    adds up K sizes over the processes, a refresh K x D sums. Sums are exact
    (:mod:`mmdeepcluster.clustering.exact_sums`), so every number of processes has the same
    centroids. ``fill``, ``update``, ``refresh_centroids``, ``recompute_sums`` and
    ``dissolve_small_clusters`` are collective: every process must call them.

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
    row_buffers = (*LabelBank.row_buffers, "features")
    shared_buffers = ("centroids", "sums", "num_refills", *LabelBank.shared_buffers)

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
        self.bits = grid_bits(num_samples)
        sums = torch.zeros(num_clusters, feature_dim, dtype=torch.float64)
        self.register_buffer("sums", sums, persistent=False)
        self.register_buffer("num_refills", torch.tensor(0), persistent=False)
        self._smallest: HostCopy | None = None

    @torch.no_grad()
    def fill(self, features: Tensor, assignments: Tensor) -> list[Refill]:
        """Starts from features of all samples and one global clustering of them.

        Args:
            features: Rows of the samples that this process owns (num_owned, D), alone (N, D);
                stored with unit length.
            assignments: Cluster of each of the N samples, int64 (N,), none empty.

        Returns:
            The clusters below ``min_cluster_size`` that were dissolved at once.
        """
        if features.shape != self.features.shape:
            raise ValueError(
                f"expected features {tuple(self.features.shape)}, got {tuple(features.shape)}"
            )
        check_features(features)
        self.assign_all(assignments)
        for start in range(0, len(features), _ROWS):
            rows = slice(start, start + _ROWS)
            unit = l2_normalize(features[rows].to(self.features.device))
            self.features[rows] = to_grid(unit, self.bits)
        self.recompute_sums()
        self.refresh_centroids()
        return self.dissolve_small_clusters()

    @torch.no_grad()
    def update(self, sample_idx: Tensor, features: Tensor, reassign: bool = True) -> MemoryUpdate:
        """Moves the rows of a batch towards its features and assigns them anew [0, Eqs. 2, 3].

        A sample that occurs several times in the batch takes its last occurrence; a row with NaN
        or infinity, or too long for fp32, is left as it was.

        Args:
            sample_idx: Samples of this process, int64 (B,).
            features: Their features (B, D), of the training pass.
            reassign: Whether labels follow. False moves features and sums alone.

        Returns:
            Counts for the log, over the batches of all processes.
        """
        features = features.float()
        rows = self.partition.to_local(sample_idx)
        last, keep = last_occurrences(rows)
        length = features.norm(dim=1)
        finite = length.isfinite()
        keep &= finite
        # index_select and index_copy_ move whole rows; indexing with [] goes number by number.
        old, old_label = self.features.index_select(0, rows), self.labels.take(rows)
        new = l2_normalize(features, length).lerp_(old, 1 - self.momentum)
        if self.renormalize:
            new = l2_normalize(new)
        new = to_grid(new, self.bits)
        # On a CPU it costs less to ask than to copy; a GPU would have to wait for the answer.
        if new.is_cuda or not bool(finite.all()):
            new = torch.where(finite.unsqueeze(1), new, old)
        new = new.index_select(0, last)
        label = old_label
        if reassign:
            nearest = nearest_centroid(new, self.centroids, self.assign_metric)
            label = torch.where(finite.take(last), nearest, old_label)
        # Equal samples write equal rows, so the result does not depend on the order of writing.
        self.features.index_copy_(0, rows, new)
        self.labels.index_copy_(0, rows, label)
        seen = torch.stack([(label != old_label) & keep, keep, length == 0, ~finite]).sum(dim=1)
        changed, kept, zero_rows, bad_rows = self._move(old_label, old, label, new, keep, seen)
        return MemoryUpdate(changed / kept.clamp_min(1), zero_rows, bad_rows)

    def _move(
        self,
        old_label: Tensor,
        old: Tensor,
        label: Tensor,
        new: Tensor,
        keep: Tensor,
        numbers: Tensor | None = None,
    ) -> Tensor:
        """Takes rows out of the sums of their old clusters and puts them into the new ones.

        Sizes are added up over all processes, in one message with ``numbers``, whose totals are
        returned.
        """
        weight = keep.to(torch.int64)
        share = keep.to(old.dtype).unsqueeze(1)
        self.sums.index_add_(0, old_label, (old * -share).double())
        self.sums.index_add_(0, label, (new * share).double())
        numbers = weight.new_zeros(0) if numbers is None else numbers
        totals = weight.new_zeros(self.num_clusters + len(numbers))
        totals[self.num_clusters :] = numbers
        totals.index_add_(0, old_label, -weight)
        totals.index_add_(0, label, weight)
        self._add_up(totals)
        self.counts += totals[: self.num_clusters]
        return totals[self.num_clusters :]

    @torch.no_grad()
    def refresh_centroids(self) -> None:
        """Sets each centroid to the mean of its members' features [0, section 3.1].

        An empty cluster keeps its centroid until :meth:`dissolve_small_clusters` refills it.
        """
        sums = self._total_sums(slice(None))
        # In pieces that stay in cache: five times as fast as all at once.
        for start in range(0, self.num_clusters, _CENTROIDS):
            part = slice(start, start + _CENTROIDS)
            means = _means(sums[part], self.counts[part])
            filled = self.counts[part].unsqueeze(1) > 0
            self.centroids[part] = torch.where(filled, means, self.centroids[part])

    def _means(self, clusters: Tensor | slice) -> Tensor:
        return _means(self._total_sums(clusters), self.counts[clusters])

    def _total_sums(self, clusters: Tensor | slice) -> Tensor:
        """Sums over the samples of all processes; collective."""
        sums = self.sums[clusters]
        return self._add_up(sums.clone()) if self.partition.world_size > 1 else sums

    def _add_up(self, numbers: Tensor) -> Tensor:
        """Replaces numbers by their totals over all processes."""
        if self.partition.world_size > 1:
            all_reduce(numbers)
        return numbers

    @torch.no_grad()
    def recompute_sums(self) -> None:
        """Computes counts and sums from all labels and features, O(N * D)."""
        counts = torch.bincount(self.labels, minlength=self.num_clusters)
        self.counts.copy_(self._add_up(counts))
        self.sums.copy_(cluster_sums(self.features, self.labels, self.num_clusters))

    def shared_state(self) -> dict[str, Tensor]:
        """As the base class; sums are those of all processes."""
        return super().shared_state() | {"sums": self._total_sums(slice(None))}

    def _check_consistent(self, state: dict[str, Tensor]) -> None:
        super()._check_consistent(state)
        self._ask_smallest()  # what an uninterrupted training would have asked
        self.recompute_sums()
        if not torch.equal(self._total_sums(slice(None)).cpu(), state["sums"]):
            raise ValueError("features and centroid sums of the cluster state disagree: damaged")

    @torch.no_grad()
    def feature_sample(self, max_rows: int, seed: int) -> Tensor:
        """Seeded sample (M, D) of the rows of all samples, the same on every process. Collective.

        Args:
            max_rows: Largest M.
            seed: Which rows.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(self.num_samples, generator=generator)[:max_rows]
        sample = self.features.new_zeros(len(chosen), self.feature_dim)
        mine = self._positions(chosen)
        sample[mine] = self.features[self.partition.to_local(chosen.to(mine.device)[mine])]
        return self._add_up(sample)

    def _positions(self, samples: Tensor) -> Tensor:
        """Where in a list of samples those of this process stand."""
        if self.partition.world_size == 1:
            return torch.arange(len(samples), device=self.labels.device)
        owned = torch.zeros(self.num_samples, dtype=torch.bool)
        owned[self.partition.owned.cpu()] = True
        return owned[samples.cpu()].nonzero().flatten().to(self.labels.device)

    @torch.no_grad()
    def dissolve_small_clusters(self, wait: bool = True) -> list[Refill]:
        """Empties clusters below ``min_cluster_size`` and refills them from the largest ones.

        Members of a small cluster go to the nearest normal centroid. Then each emptied id takes
        one part of a 2-means split of the largest cluster [0, section 3.2]. Neither part is left
        below the minimum; where the largest cluster is too small for that, the id takes the
        samples that lie farthest from the centroids of clusters with members to spare.

        Args:
            wait: Whether to wait for a GPU to say if there are small clusters now. False takes
                its answer to the call before, which is there already, so such a cluster lives one
                iteration longer. A CPU answers at once, whatever is asked.

        Returns:
            The refilled ids with the cluster they took members from.
        """
        if not self._some_are_small(wait):
            return []
        small = self.counts < self.min_cluster_size
        members = small[self.labels].nonzero().flatten()
        target = nearest_centroid(
            self.features[members], self.centroids, self.assign_metric, allowed=~small
        )
        self._relabel(members, target)
        refills = [self._refill(cluster) for cluster in small.nonzero().flatten().tolist()]
        self._ask_smallest()
        return refills

    def _some_are_small(self, wait: bool) -> bool:
        if wait or not self.counts.is_cuda:
            return int(self.counts.min()) < self.min_cluster_size
        asked = self._smallest
        self._ask_smallest()
        return asked is not None and int(asked.read()) < self.min_cluster_size

    def _ask_smallest(self) -> None:
        """Asks a GPU for the size of the smallest cluster."""
        if self.counts.is_cuda:
            self._smallest = HostCopy(self.counts.min())

    def _relabel(self, members: Tensor, target: Tensor) -> None:
        rows, everyone = self.features[members], torch.ones_like(members, dtype=torch.bool)
        self._move(self.labels[members], rows, target, rows, everyone)
        self.labels[members] = target

    def _refill(self, cluster: int) -> Refill:
        parent = int(self.counts.argmax())
        if int(self.counts[parent]) >= 2 * self.min_cluster_size:
            members = self._second_part(parent)
        else:
            members = self._spare_members()
        self._relabel(members, torch.full_like(members, cluster))
        self.num_refills += 1
        changed = torch.tensor([cluster, parent], device=self.sums.device)
        self.centroids[changed] = self._means(changed)
        return Refill(cluster, parent)

    def _second_part(self, parent: int) -> Tensor:
        """Rows of this process in the second part of a 2-means split of a cluster.

        All processes solve the same problem: a seeded sample of members in global order. In it
        each part has the minimal size; the other members follow the boundary between the means.
        """
        seed = _REFILL_SEED + int(self.num_refills)
        members = (self.labels == parent).nonzero().flatten()
        samples = self.partition.owned.to(members.device)[members]
        limit = max(_SPLIT_SAMPLE, 2 * self.min_cluster_size)
        drawn = torch.ones_like(members, dtype=torch.bool)
        if int(self.counts[parent]) > limit:
            order = _shuffled(samples, seed)
            lowest = self._gather_ragged(order.sort().values[:limit])
            drawn = order <= lowest.sort().values[limit - 1]
        features = self._gather_ragged(self.features[members[drawn]])
        order = self._gather_ragged(samples[drawn]).sort().indices
        generator = torch.Generator().manual_seed(seed)
        side = two_means(features[order], generator, self.min_cluster_size)
        second = torch.zeros_like(side)
        second[order] = side
        # Rows of this process follow those of the ranks before it.
        first_row = int(self._gather_ragged(drawn.sum().reshape(1))[: self.partition.rank].sum())
        chosen = torch.zeros_like(drawn)
        chosen[drawn] = second[first_row : first_row + int(drawn.sum())]
        rest = (~drawn).nonzero().flatten()
        if bool((~drawn).any()):
            ordered = features[order].double()
            direction = ordered[side].mean(dim=0) - ordered[~side].mean(dim=0)
            middle = (ordered[side].mean(dim=0) + ordered[~side].mean(dim=0)) / 2
            for start in range(0, len(rest), _ROWS):
                rows = rest[start : start + _ROWS]
                offset = self.features[members[rows]].double() - middle
                chosen[rows] = (offset * direction).sum(dim=1) > 0
        return members[chosen]

    def _gather_ragged(self, rows: Tensor) -> Tensor:
        """Rows of all processes one after the other, however many each has."""
        if self.partition.world_size == 1:
            return rows
        sizes = [int(size) for size in all_gather(torch.tensor([len(rows)]))]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = zip(all_gather(padded), sizes, strict=True)
        return torch.cat([part[:size] for part, size in parts])

    def _spare_members(self) -> Tensor:
        """The ``min_cluster_size`` samples that fit worst, leaving every donor large enough.

        ``K * min_cluster_size <= N`` makes sure that there are enough of them.
        """
        distances = [
            (rows - self.centroids[labels]).square().sum(dim=1)
            for rows, labels in zip(
                self.features.split(_ROWS), self.labels.split(_ROWS), strict=True
            )
        ]
        distance = self.partition.gather(torch.cat(distances))
        labels, counts = self.all_labels(), self.counts.cpu()
        spare = (counts - self.min_cluster_size).clamp_min(0)
        # Farthest first; of each cluster only as many as it can spare.
        order = distance.sort(descending=True, stable=True).indices
        by_cluster = order[labels[order].sort(stable=True).indices]
        starts = counts.cumsum(0) - counts
        position = torch.arange(len(order)) - starts[labels[by_cluster]]
        offered = by_cluster[position < spare[labels[by_cluster]]]
        farthest = distance[offered].sort(descending=True, stable=True).indices
        chosen = offered[farthest[: self.min_cluster_size]].to(self.labels.device)
        return self.partition.to_local(chosen[self._positions(chosen)])


def _shuffled(samples: Tensor, seed: int) -> Tensor:
    """A number for each sample that orders them as if at random, never the same for two.

    The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): one-to-one on 64 bits, so all
    processes agree on an order without exchanging it.
    """
    value = samples + (seed * 0x9E3779B97F4A7C15) % (1 << 63)
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        value = (value ^ _shift_right(value, shift)) * factor
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Shift that fills with zeros, as on unsigned numbers."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _means(sums: Tensor, counts: Tensor) -> Tensor:
    """Means in fp32 of sums (K, D) over counts (K,); zero where there is nothing."""
    return (sums / counts.clamp_min(1).unsqueeze(1)).float()


def last_occurrences(sample_idx: Tensor) -> tuple[Tensor, Tensor]:
    """For each position the last position of the same sample, and whether it is that position.

    Sorting keeps the shapes fixed, so that a GPU need not wait as ``torch.unique`` makes it.
    """
    size = len(sample_idx)
    position = torch.arange(size, device=sample_idx.device)
    # Keys that differ, so that the sort need not be stable.
    first_key = sample_idx * size
    keys, order = (first_key + position).sort()
    last = order.take(torch.searchsorted(keys, first_key + (size - 1), right=True) - 1)
    return last, last == position
