"""DeepCluster.

[0] Caron, Bojanowski, Joulin, Douze: Deep Clustering for Unsupervised Learning of Visual Features,
    ECCV 2018, arXiv 1807.05520.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.clustering import Partition, RowShare
from mmdeepcluster.clustering.cluster_means import cluster_means
from mmdeepcluster.clustering.matching import match_clusters
from mmdeepcluster.models.algorithms.alternating import AlternatingAlgorithm
from mmdeepcluster.models.algorithms.base import Reclustering
from mmdeepcluster.models.algorithms.memory_estimate import MemoryEstimate
from mmdeepcluster.models.memories.odc_memory import last_occurrences
from mmdeepcluster.registry import ALGORITHMS, HEADS, LOSSES

HEAD_STARTS = ("random", "centroids", "matched")
FEATURES = ("extraction", "from_training")


@ALGORITHMS.register_module()
class DeepCluster(AlternatingAlgorithm):
    """Clusters the features of all images, learns the clusters as classes, and so on [0].

    A cycle starts with one clustering: features of an evaluation pass, before the last ReLU, are
    transformed (PCA, whitening, unit length) and clustered; the assignment becomes the labels of
    all samples at once, and the classifier starts anew, because the new clusters have nothing to
    do with the numbers of the old ones. Then follow epochs of plain classification.

    Args:
        num_samples: N, written by ``resolve_config`` from the data set.
        num_clusters: K.
        backbone: Config of the backbone; its last output is taken before a last ReLU if there
            is one (``out_indices`` chooses).
        neck: Config of the neck; its output (D) is what is clustered.
        head: Config of the classifier, which gets the features after a ReLU.
        feature_transform: Config of what happens to features before they are clustered, such as
            ``PCAWhitening``. None scales them to unit length and does no more.
        clusterer: Config of the clustering. Defaults to k-means.
        loss: Config of the loss. Defaults to plain cross-entropy, to be used with
            ``UniformClusterSampler``; ``ClassBalancedCrossEntropy`` with ``power=0.5`` and the
            default sampler is the alternative (arXiv 2006.10645, section 3.2).
        warm_start: Whether a clustering starts from the partition before it (its means in the new
            space), which needs fewer iterations. Needs a clusterer that can. Defaults to False,
            the paper. Changes results.
        head_start: What the classifier starts a cycle with: ``random`` weights as in the paper;
            ``centroids``, rows that point to the means of the clusters; or ``matched``, the
            weights it has, after new clusters got the numbers of the old ones that they overlap
            most with. Changes results.
        features: What is clustered. ``extraction``, the default, is the paper: an evaluation pass
            over all images before each clustering. ``from_training`` is another algorithm, as
            DeepCluster-v2 (arXiv 2006.09882, appendix) does it: the features of the training
            passes are kept, of augmented images and of a network that was learning meanwhile, and
            no image is extracted but for the first clustering. An image that was not drawn since
            keeps its features of before. Takes N x D x 4 bytes beside the network, and one process.
            Changes results.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.

    Raises:
        ValueError: For an unknown ``head_start`` or ``features``, a clusterer that cannot start
            from a partition, or a transform to more dimensions than there are.
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
        loss: dict[str, Any] | None = None,
        warm_start: bool = False,
        head_start: str = "random",
        features: str = "extraction",
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        clusterer = dict(clusterer or {"type": "KMeans"}, num_clusters=num_clusters)
        super().__init__(
            num_samples,
            num_clusters,
            backbone,
            neck,
            clusterer,
            feature_transform,
            warm_start,
            data_preprocessor,
            init_cfg,
        )
        self.head = HEADS.build(dict(head, in_channels=self.feature_dim, num_clusters=num_clusters))
        self.loss_module = LOSSES.build(loss or {"type": "ClassBalancedCrossEntropy", "power": 0.0})
        if head_start not in HEAD_STARTS:
            raise ValueError(f"model.head_start must be one of {HEAD_STARTS}, got {head_start!r}")
        self.head_start = head_start
        if features not in FEATURES:
            raise ValueError(f"model.features must be one of {FEATURES}, got {features!r}")
        self.features = features
        if features == "from_training":
            bank = torch.zeros(num_samples, self.feature_dim)
            self.register_buffer("feature_bank", bank, persistent=False)

    feature_bank: Tensor

    def shard(self, partition: Partition) -> None:
        """Labels are held by every process.

        Raises:
            ValueError: If features of the training are to be clustered and there are others.
        """
        if self.features == "from_training" and partition.world_size > 1:
            raise ValueError(
                f"model.features='from_training' keeps the features of one process, there are "
                f"{partition.world_size}: start one, or set model.features='extraction'"
            )
        super().shard(partition)

    def loss(self, inputs: Tensor, sample_idx: Tensor) -> dict[str, Tensor]:
        """Cross-entropy under the labels of this cycle [0, Eq. 1].

        Raises:
            RuntimeError: If there was no clustering.
        """
        if self.cycle == 0:
            raise RuntimeError(
                "DeepCluster needs EpochClusteringHook (default_hooks.clustering), which clusters "
                "the features before an epoch"
            )
        features = self.neck(self.backbone(inputs)[-1])
        if self.features == "from_training":
            # Equal samples write equal rows, so the order of writing does not matter.
            last, _ = last_occurrences(sample_idx)
            rows = features.detach().float().index_select(0, last)
            self.feature_bank.index_copy_(0, sample_idx, rows)
        with torch.autocast(device_type=features.device.type, enabled=False):
            logits = self.head(F.relu(features.float()))
            targets = self.label_bank.lookup(sample_idx)
            loss = self.loss_module(logits, targets, self.label_bank.counts)
        return {"loss": loss}

    def features_of_training(self) -> Tensor | None:
        """What the training passes left, from the second clustering on."""
        kept = self.features == "from_training" and self.initialized
        return self.feature_bank if kept else None

    def recluster(self, features: Tensor, seed: int) -> Reclustering:
        """As the base class; keeps the features of an extraction until training renews them."""
        if self.features == "from_training" and features is not self.feature_bank:
            self.feature_bank.copy_(features)
        return super().recluster(features, seed)

    def memory_estimate(self, world_size: int) -> MemoryEstimate:
        """As the base class, and the features of the training."""
        estimate = super().memory_estimate(world_size)
        if self.features == "extraction":
            return estimate
        bank = self.num_samples * self.feature_dim * 4
        return replace(estimate, clustering=estimate.clustering + bank)

    def memory_state(self) -> dict[str, Tensor]:
        """As the base class, and the features of the training."""
        state = super().memory_state()
        if self.features == "from_training" and state:
            state["feature_bank"] = self.feature_bank.detach().cpu().clone()
        return state

    def load_memory_state(self, state: dict[str, Tensor]) -> None:
        """Takes over what :meth:`memory_state` returned.

        Raises:
            ValueError: As the base class, or if the features of the training are missing or of
                another shape.
        """
        state = dict(state)
        bank = state.pop("feature_bank", None)
        if (bank is None) != (self.features == "extraction"):
            raise ValueError(
                "model.features is another one than in the training of this checkpoint, now "
                f"{self.features!r}"
            )
        super().load_memory_state(state)
        if bank is not None:
            if bank.shape != self.feature_bank.shape:
                raise ValueError(
                    f"feature_bank has shape {tuple(bank.shape)}, expected "
                    f"{tuple(self.feature_bank.shape)}"
                )
            self.feature_bank.copy_(bank)

    def _rename(self, assignments: Tensor, previous: Tensor | None) -> Tensor:
        if self.head_start != "matched" or previous is None:
            return assignments
        renamed = match_clusters(previous.cpu(), assignments.cpu(), self.num_clusters)
        return renamed.to(assignments.device)[assignments]

    @torch.no_grad()
    def _start_head(self, features: Tensor, share: RowShare, seed: int) -> tuple[nn.Parameter, ...]:
        if self.head_start == "matched" and self.cycle > 0:
            return ()
        if self.head_start == "centroids":
            means = cluster_means(F.relu(features), self.labels(), self.num_clusters, share)
            self.head.point_to(means.to(self.cluster_counts.device))
            return tuple(self.head.parameters())
        return self.reset_head(seed)

    def reset_head(self, seed: int) -> tuple[nn.Parameter, ...]:
        """New random weights for the head (R9)."""
        self.head.reset(seed)
        return tuple(self.head.parameters())
