"""A method: DeepCluster that learns the typical images of a cluster more than those at its edge."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdeepcluster.clustering import Partition, l2_normalize
from mmdeepcluster.models import DeepCluster, Reclustering
from mmdeepcluster.registry import ALGORITHMS


@ALGORITHMS.register_module()
class TypicalDeepCluster(DeepCluster):
    """Weights each sample by how near it is to the mean of its cluster.

    ``w_i = 1 - (1 - floor) r_i``, where r_i in 0..1 is the rank of sample i among all by the
    cosine distance of its features to the mean direction of its cluster.

    Args:
        floor: Weight of the least typical sample, in (0, 1]. 1 is DeepCluster. Defaults to 0.2.
        **options: As for ``DeepCluster``.
    """

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        feature_transform: dict[str, Any] | None = None,
        clusterer: dict[str, Any] | None = None,
        floor: float = 0.2,
        loss: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            num_samples=num_samples,
            num_clusters=num_clusters,
            backbone=backbone,
            neck=neck,
            head=head,
            feature_transform=feature_transform,
            clusterer=clusterer,
            loss=loss,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if not 0 < floor <= 1:
            raise ValueError(f"model.floor must be in (0, 1], got {floor}")
        self.floor = floor
        # State of the training, not of the network: it is saved by memory_state().
        self.register_buffer("weights", torch.ones(num_samples), persistent=False)

    weights: Tensor

    def shard(self, partition: Partition) -> None:
        """Weights need the features of all samples in one process."""
        if partition.world_size > 1:
            raise ValueError(
                f"TypicalDeepCluster runs in one process, there are {partition.world_size}"
            )
        super().shard(partition)

    @torch.no_grad()
    def recluster(self, features: Tensor, seed: int) -> Reclustering:
        """Clusters as DeepCluster does, then weighs the samples."""
        result = super().recluster(features, seed)
        rows, labels = l2_normalize(features.float()), self.labels().to(features.device)
        means = torch.zeros(self.num_clusters, rows.shape[1], device=rows.device)
        means.index_add_(0, labels, rows)
        distance = 1 - (rows * l2_normalize(means)[labels]).sum(dim=1)
        rank = distance.argsort().argsort() / max(1, len(rows) - 1)
        self.weights.copy_(1 - (1 - self.floor) * rank)
        return result

    def loss(self, inputs: Tensor, sample_idx: Tensor) -> dict[str, Tensor]:
        """Weighted cross-entropy, divided by the sum of the weights."""
        logits = self.head(F.relu(self.neck(self.backbone(inputs)[-1]).float()))
        losses = F.cross_entropy(logits, self.label_bank.lookup(sample_idx), reduction="none")
        weights = self.weights[sample_idx]
        return {"loss": (weights * losses).sum() / weights.sum()}

    def memory_state(self) -> dict[str, Tensor]:
        """All that a resumed training needs, in the order of the data set."""
        return super().memory_state() | {"weights": self.weights.cpu().clone()}

    def load_memory_state(self, state: dict[str, Tensor]) -> None:
        """Takes over what :meth:`memory_state` returned."""
        state = dict(state)
        weights = state.pop("weights")
        super().load_memory_state(state)
        self.weights.copy_(weights)
