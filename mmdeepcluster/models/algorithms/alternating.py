"""What methods have in common that cluster all features and learn the labels, by turns."""

from __future__ import annotations

import inspect
import time
from abc import abstractmethod
from itertools import pairwise
from typing import Any

import torch
from mmengine.dist import is_main_process
from torch import Tensor, nn

from mmdeepcluster.clustering import (
    Assigner,
    LinearTransform,
    Partition,
    RowShare,
    l2_normalize,
)
from mmdeepcluster.clustering.cluster_means import cluster_means
from mmdeepcluster.models.algorithms.base import BaseAlgorithm, Reclustering, fit_on_main
from mmdeepcluster.models.algorithms.memory_estimate import MemoryEstimate
from mmdeepcluster.models.memories import LabelBank
from mmdeepcluster.registry import CLUSTERERS, FEATURE_TRANSFORMS

# Rows of the features that were clustered last, kept for diagnostics.
_SAMPLE_ROWS = 2048


class AlternatingAlgorithm(BaseAlgorithm):
    """A method that clusters all features, learns the clusters as classes, and so on.

    A cycle starts with one clustering: features of an evaluation pass are transformed (PCA,
    whitening, unit length) and clustered, and the assignment becomes the labels of all samples at
    once. Then follow epochs of plain classification. The hook of such methods calls
    :meth:`recluster`, or :meth:`keep_clustering`, at the start of a cycle.

    The labels are held here and looked up by sample, so no data worker can have old ones. Each
    process holds all of them, since a sampler of clusters deals samples freely.

    A subclass says what the loss is, and with which head a cycle starts.

    Args:
        num_samples: N, written by ``resolve_config`` from the data set.
        num_clusters: K.
        backbone: Config of the backbone; its last output is taken before a last ReLU if there
            is one (``out_indices`` chooses).
        neck: Config of the neck; its output (D) is what is clustered.
        clusterer: Config of the clustering, with the numbers of clusters.
        feature_transform: Config of what happens to features before they are clustered, such as
            ``PCAWhitening``. None scales them to unit length and does no more.
        warm_start: Whether a clustering starts from the partition before it (its means in the new
            space), which needs fewer iterations. Needs a clusterer that can. Changes results.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.

    Raises:
        ValueError: For a clusterer that cannot start from a partition, or a transform to more
            dimensions than there are.
    """

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        clusterer: dict[str, Any],
        feature_transform: dict[str, Any] | None,
        warm_start: bool,
        data_preprocessor: dict[str, Any] | None,
        init_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__(num_samples, num_clusters, backbone, neck, data_preprocessor, init_cfg)
        self.label_bank = LabelBank(num_samples, num_clusters)
        self.clusterer = CLUSTERERS.build(clusterer)
        self.feature_transform: Any = None
        if feature_transform is not None:
            self.feature_transform = FEATURE_TRANSFORMS.build(feature_transform)
        self.warm_start = warm_start
        self._sample = torch.zeros(0, self.feature_dim)
        if warm_start and not self._clusterer_takes("assignments"):
            raise ValueError(
                f"model.warm_start=True needs a clusterer that starts from a partition; "
                f"{type(self.clusterer).__name__} cannot"
            )
        self._check_dim()

    def _check_dim(self) -> None:
        dim = getattr(self.feature_transform, "dim", 0)
        largest = min(self.feature_dim, self.num_samples - 1)
        if dim > largest:
            raise ValueError(
                f"model.feature_transform.dim={dim} is more than the {largest} dimensions that "
                f"{self.num_samples} features of width {self.feature_dim} can have: lower it"
            )

    def _clusterer_takes(self, name: str) -> bool:
        return name in inspect.signature(self.clusterer.fit).parameters

    @property
    def initialized(self) -> bool:
        """Whether there was a clustering."""
        return bool(self.label_bank.initialized)

    @property
    def partition(self) -> Partition:
        """All samples: labels are held by every process."""
        return self.label_bank.partition

    def shard(self, partition: Partition) -> None:
        """Nothing is dealt: every process holds all labels."""

    def labels(self) -> Tensor:
        """Current pseudo-labels, int64 (N,) on the CPU."""
        return self.label_bank.all_labels()

    @property
    def cluster_counts(self) -> Tensor:
        """Sizes of the clusters, int64 (K,)."""
        return self.label_bank.counts

    def features_of_training(self) -> Tensor | None:
        """Features (N, D) to cluster without an evaluation pass; None where one is needed."""
        return None

    @abstractmethod
    def reset_head(self, seed: int) -> tuple[nn.Parameter, ...]:
        """Gives the head new random weights (R9); returns its parameters."""

    def _rename(self, assignments: Tensor, previous: Tensor | None) -> Tensor:
        """New labels (N,) under the numbers that they shall have."""
        return assignments

    def _start_head(self, features: Tensor, share: RowShare, seed: int) -> tuple[nn.Parameter, ...]:
        """Prepares the head for the new labels; returns the parameters that were written anew."""
        return self.reset_head(seed)

    @property
    def clusters_at_once(self) -> int:
        """Clusters of the largest k-means of a clustering."""
        return self.num_clusters

    def memory_estimate(self, world_size: int) -> MemoryEstimate:
        """Network, labels, and what is needed while features are clustered."""
        parts: dict[bool, int] = {True: 0, False: 0}
        for name, parameter in self.named_parameters():
            parts[name.startswith("head.")] += parameter.numel()
        return MemoryEstimate.of_training(
            network_weights=parts[False],
            head_weights=parts[True],
            num_samples=self.num_samples,
            feature_dim=self.feature_dim,
            clustered_dim=getattr(self.feature_transform, "dim", self.feature_dim),
            num_clusters=self.num_clusters,
            clusters_at_once=self.clusters_at_once,
            rows_are_sent=self.clusters_at_once < self.num_clusters,
            world_size=world_size,
        )

    @property
    def share_to_cluster(self) -> RowShare:
        """Samples whose features this process extracts and hands to :meth:`recluster`."""
        return RowShare.of_this_process(self.num_samples)

    @torch.no_grad()
    def recluster(self, features: Tensor, seed: int) -> Reclustering:
        """Starts a cycle with new labels and a head for them; collective.

        Args:
            features: Features (M, D) of the samples :attr:`share_to_cluster`, before a last ReLU.
            seed: Seed of clustering and head.

        Raises:
            ValueError: If a feature is not finite, or the clusterer found another number of
                clusters than K.
        """
        share, device = self.share_to_cluster, self.cluster_counts.device
        times = [time.perf_counter()]
        # The features themselves stay where they are: they may be larger than a GPU.
        rows = self._fit_transform(features, share, device)(features, device)
        times.append(time.perf_counter())
        assignments, objective, num_iters = self._cluster(rows, share, seed)
        times.append(time.perf_counter())
        previous = self.label_bank.labels.clone() if self.initialized else None
        self.label_bank.assign_all(self._rename(assignments, previous))
        if previous is not None:
            self.label_bank.prev_labels.copy_(previous)
        self._sample = self._take_sample(features, share, seed)
        rewritten = self._start_head(features, share, seed)
        self.cycle += 1
        times.append(time.perf_counter())
        phases = ("PCA", "k-means", "assign")
        seconds = [after - before for before, after in pairwise(times)]
        return Reclustering(
            objective, num_iters, dict(zip(phases, seconds, strict=True)), rewritten
        )

    def _fit_transform(
        self,
        features: Tensor,
        share: RowShare | None = None,
        device: torch.device | None = None,
    ) -> LinearTransform:
        if self.feature_transform is None:
            return LinearTransform()
        fitted: LinearTransform = self.feature_transform.fit(features, share, device)
        return fitted

    def _cluster(self, rows: Tensor, share: RowShare, seed: int) -> tuple[Tensor, float, int]:
        """Assignments (N,) of all samples on every process, objective and iterations."""
        options: dict[str, Any] = {}
        if self.warm_start and self.initialized:
            options["assignments"] = self.label_bank.labels
        if share.world_size == 1 or getattr(self.clusterer, "distributed", False):
            if share.world_size > 1:
                options["share"] = share
            result = self.clusterer.fit(rows, seed=seed, **options)
            self._check_number(result.num_clusters)
            return result.assignments, result.objective, result.num_iters
        fit = fit_on_main(self.clusterer, share.gather(rows), self.num_samples, seed, **options)
        self._check_number(fit.num_clusters)
        return fit.assignments, fit.objective, fit.num_iters

    def _check_number(self, found: int) -> None:
        if found != self.num_clusters:
            raise ValueError(
                f"model.clusterer found {found} clusters, the head has {self.num_clusters}: let "
                f"{type(self.clusterer).__name__} make exactly model.num_clusters of them"
            )

    def _take_sample(self, features: Tensor, share: RowShare, seed: int) -> Tensor:
        """Unit rows of a seeded sample (M, D) of all features, the same on every process."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(self.num_samples, generator=generator)[:_SAMPLE_ROWS]
        mine = (chosen >= share.start) & (chosen < share.stop)
        sample = torch.zeros(len(chosen), self.feature_dim, device=self.cluster_counts.device)
        found = features[(chosen[mine] - share.start).to(features.device)]
        sample[mine.to(sample.device)] = l2_normalize(found).to(sample.device)
        return share.all_reduce(sample).cpu()

    def keep_clustering(self) -> None:
        """Starts a cycle with the labels of the one before (R12)."""
        self.label_bank.prev_labels.copy_(self.label_bank.labels)
        self.cycle += 1

    def feature_sample(self, max_rows: int, seed: int) -> Tensor:
        """Unit rows of the features that were clustered last, at most ``max_rows``."""
        generator = torch.Generator().manual_seed(seed)
        return self._sample[torch.randperm(len(self._sample), generator=generator)[:max_rows]]

    def snapshot_labels(self) -> tuple[Tensor | None, Tensor]:
        """Labels (N,) of the cycle before, None in the first one, and of this cycle."""
        before = self.label_bank.prev_labels.cpu() if self.cycle > 1 else None
        return before, self.labels()

    @torch.no_grad()
    def finalize(self, features: Tensor, labels: Tensor, share: RowShare | None = None) -> Assigner:
        """Fits transform and centroids, the means under the last labels, on new features."""
        device = self.cluster_counts.device
        fitted = self._fit_transform(features, share, device)
        means = cluster_means(fitted(features, device), labels, self.num_clusters, share)
        fitted = fitted.to(torch.device("cpu"))
        self.assigner = Assigner(
            means.cpu(),
            mean=fitted.mean,
            projection=fitted.projection,
            normalize=fitted.normalize,
        )
        return self.assigner

    def memory_state(self) -> dict[str, Tensor]:
        """Labels, and the sample of features for diagnostics; on the main process."""
        if not is_main_process():
            return {}
        return self.label_bank.state() | {"feature_sample": self._sample}

    def load_memory_state(self, state: dict[str, Tensor]) -> None:
        """Takes over labels and sample.

        Raises:
            ValueError: If they do not fit or disagree.
        """
        state = dict(state)
        sample = state.pop("feature_sample", None)
        if sample is None or sample.ndim != 2 or sample.shape[1] != self.feature_dim:
            raise ValueError(f"cluster state has no feature_sample (M, {self.feature_dim})")
        self.label_bank.load_state(state)
        self._sample = sample
