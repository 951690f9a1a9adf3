"""Online Deep Clustering.

[0] Zhan, Xie, Liu, Ong, Loy: Online Deep Clustering for Unsupervised Representation Learning,
    CVPR 2020, arXiv 2006.10645.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.dist import is_main_process
from torch import Tensor, nn

from mmdeepcluster.clustering import Assigner, Partition, RowShare
from mmdeepcluster.clustering.cluster_means import cluster_means
from mmdeepcluster.clustering.functional import l2_normalize
from mmdeepcluster.models.algorithms.base import OnlineAlgorithm, Reclustering, fit_on_main
from mmdeepcluster.registry import ALGORITHMS, CLUSTERERS, HEADS, LOSSES, MEMORIES


@ALGORITHMS.register_module()
class ODC(OnlineAlgorithm):
    """Labels and centroids evolve with the network instead of being recomputed each epoch [0].

    One iteration: the loss uses the labels of the memory; after the optimizer step the features
    of this very forward pass update the memory, and the samples take the label of their nearest
    centroid. There is one pass over the data set for features, at the start.

    Args:
        num_samples: N, written by ``resolve_config`` from the data set.
        num_clusters: K.
        backbone: Config of the backbone.
        neck: Config of the neck; its output (D) is what is clustered.
        head: Config of the classifier over clusters.
        memory: Config of the memory, with the options of the method.
        loss: Config of the loss. Defaults to re-weighted cross-entropy.
        clusterer: Config of the clustering at the start. Defaults to k-means.
        copy_reused_rows: Whether the classifier row of an emptied and refilled cluster is copied
            from the cluster that was split. False leaves it as it was, as the paper's code does.
            Changes results.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.
    """

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        memory: dict[str, Any],
        loss: dict[str, Any] | None = None,
        clusterer: dict[str, Any] | None = None,
        copy_reused_rows: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(num_samples, num_clusters, backbone, neck, data_preprocessor, init_cfg)
        sizes = {"num_samples": num_samples, "num_clusters": num_clusters}
        self.head = HEADS.build(dict(head, in_channels=self.feature_dim, num_clusters=num_clusters))
        self.memory = MEMORIES.build(dict(memory, feature_dim=self.feature_dim, **sizes))
        self.loss_module = LOSSES.build(loss or {"type": "ClassBalancedCrossEntropy"})
        self.clusterer = CLUSTERERS.build(
            dict(clusterer or {"type": "KMeans"}, num_clusters=num_clusters)
        )
        self.copy_reused_rows = copy_reused_rows
        self._pending: tuple[Tensor, Tensor] | None = None
        # Known on the host, so that an iteration need not ask the device.
        self._ready = False

    @property
    def initialized(self) -> bool:
        """Whether the memory was filled."""
        return bool(self.memory.initialized)

    @property
    def partition(self) -> Partition:
        """Which samples this process owns."""
        partition: Partition = self.memory.partition
        return partition

    def shard(self, partition: Partition) -> None:
        """The memory keeps the rows of this process alone."""
        self.memory.shard(partition)

    def labels(self) -> Tensor:
        """Labels of the memory, int64 (N,) on the CPU; collective."""
        labels: Tensor = self.memory.all_labels()
        return labels

    @property
    def cluster_counts(self) -> Tensor:
        """Sizes of the clusters, int64 (K,)."""
        counts: Tensor = self.memory.counts
        return counts

    @property
    def centroids_update_interval(self) -> int:
        """Iterations between refreshes of the centroids."""
        return int(self.memory.centroids_update_interval)

    def loss(self, inputs: Tensor, sample_idx: Tensor) -> dict[str, Tensor]:
        """Re-weighted cross-entropy under the labels held before this iteration [0, Eq. 1].

        The features are kept until :meth:`update_memory`. Classifier and softmax run in fp32.

        Raises:
            RuntimeError: If the memory was not filled, or nobody took the features of the
                iteration before.
        """
        if not self._ready:
            self._ready = self.initialized
        if not self._ready or self._pending is not None:
            raise RuntimeError(
                "ODC needs OnlineClusteringHook (default_hooks.clustering), which fills its memory "
                "and updates it after each iteration"
            )
        features = self.neck(self.backbone(inputs)[-1])
        with torch.autocast(device_type=features.device.type, enabled=False):
            features = features.float()
            logits = self.head(features)
            targets = self.memory.lookup(sample_idx)
            loss = self.loss_module(logits, targets, self.memory.counts)
        self._pending = (sample_idx, features.detach())
        return {"loss": loss}

    def update_memory(self, reassign: bool = True) -> dict[str, Tensor]:
        """Samples memory and labels take the features of the last :meth:`loss` [0, Eqs. 2, 3].

        Args:
            reassign: Whether labels follow the features.

        Returns:
            ``change_ratio``, ``zero_rows`` and ``bad_rows`` of the batch.

        Raises:
            RuntimeError: If there was no forward since the last call.
        """
        if self._pending is None:
            raise RuntimeError("update_memory() needs a loss() before each call")
        sample_idx, features = self._pending
        self._pending = None
        stats: dict[str, Tensor] = self.memory.update(sample_idx, features, reassign)._asdict()
        return stats

    def refresh_centroids(self) -> None:
        """Centroids become the means of their members [0, section 3.1]."""
        self.memory.refresh_centroids()

    def balance_clusters(self, wait: bool = True) -> list[tuple[nn.Parameter, int]]:
        """Dissolves small clusters and refills their ids [0, section 3.2].

        Args:
            wait: Whether to wait for a GPU to say which are small now.

        Returns:
            Parameters of the head and the row in them that was written anew.
        """
        rows: list[tuple[nn.Parameter, int]] = []
        refills = self.memory.dissolve_small_clusters(wait)
        if not refills or not self.copy_reused_rows:
            return rows
        # Numbered through the whole training, so that no two rows get the same noise.
        first = int(self.memory.num_refills) - len(refills)
        for number, refill in enumerate(refills, start=first):
            self.head.copy_row(refill.parent, refill.cluster, seed=number)
            rows += [(param, refill.cluster) for param in self.head.parameters()]
        return rows

    @property
    def rows_to_cluster(self) -> Tensor | None:
        """All samples on the main process, which clusters; on others those that they own."""
        return None if is_main_process() else self.partition.owned

    def recluster(self, features: Tensor, seed: int) -> Reclustering:
        """Fills the memory by one global clustering [0, section 3.1]; collective.

        Args:
            features: Features (M, D) of the samples :attr:`rows_to_cluster`.
            seed: Seed of the clustering.

        Raises:
            ValueError: If a feature holds NaN or infinity.
        """
        start = time.perf_counter()
        features = features.to(self.memory.features.device)
        main = is_main_process()
        unit = l2_normalize(features) if main else features
        fit = fit_on_main(self.clusterer, unit, self.num_samples, seed)
        self.memory.fill(self.partition.own(features) if main else features, fit.assignments)
        self.cycle += 1
        return Reclustering(fit.objective, fit.num_iters, {"k-means": time.perf_counter() - start})

    def feature_sample(self, max_rows: int, seed: int) -> Tensor:
        """Rows of the memory, unit length, at most ``max_rows`` of them; collective."""
        sample: Tensor = self.memory.feature_sample(max_rows, seed)
        return sample

    def snapshot_labels(self) -> tuple[Tensor, Tensor]:
        """Labels (N,) at the last snapshot and now; collective."""
        snapshot: tuple[Tensor, Tensor] = self.memory.snapshot()
        return snapshot

    def finalize(self, features: Tensor, labels: Tensor, share: RowShare | None = None) -> Assigner:
        """Centroids of the assigner: means of unit features under the labels of the memory."""
        rows = l2_normalize(features.to(self.memory.features.device))
        means = cluster_means(rows, labels, self.num_clusters, share)
        self.assigner = Assigner(means.cpu(), metric=self.memory.assign_metric)
        return self.assigner

    def memory_state(self) -> dict[str, Tensor]:
        """State of the memory."""
        state: dict[str, Tensor] = self.memory.state()
        return state

    def load_memory_state(self, state: dict[str, Tensor]) -> None:
        """Takes over the state of the memory."""
        self.memory.load_state(state)
