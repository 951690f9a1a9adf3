"""DeeperCluster.

[0] Caron, Bojanowski, Mairal, Joulin: Unsupervised Pre-Training of Image Features on Non-Curated
    Data, ICCV 2019, arXiv 1905.01278.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.clustering import DrawGroup, Partition
from mmdeepcluster.models.algorithms.alternating import AlternatingAlgorithm
from mmdeepcluster.models.algorithms.head_group import HeadGroup
from mmdeepcluster.models.algorithms.rotation import check_square, draw_rotations, rotate
from mmdeepcluster.registry import ALGORITHMS, CLUSTERERS, HEADS, find_component

ROTATIONS = (1, 4)


@ALGORITHMS.register_module()
class DeeperCluster(AlternatingAlgorithm):
    """Learns rotations and hierarchical clusters at once [0].

    Every T epochs features of upright images are clustered in two levels: m super-clusters, and
    K/m clusters inside each. In training each image is turned by 0, 90, 180 or 270 degrees, each
    equally often in a batch, and the head learns what the turn was and which cluster the image is
    of. :class:`TwoLevelHead` does so in two steps, over S = 4 m super-classes and the clusters
    of each; :class:`ProductHead` over all pairs at once.

    ``num_clusters=1`` is RotNet (arXiv 1803.07728); ``num_rotations=1`` with
    ``num_super_clusters=1`` is DeepCluster.

    Args:
        num_samples: N, written by ``resolve_config`` from the data set.
        num_clusters: K, over all super-clusters.
        num_super_clusters: m, which divides K. 4 in the paper.
        backbone: Config of the backbone; its last output is taken before a last ReLU if there
            is one (``out_indices`` chooses).
        neck: Config of the neck; its output (D) is what is clustered.
        head: Config of the head, which gets the features after a ReLU.
        num_rotations: R: 4, or 1 for none. Defaults to 4.
        grouped: Whether each process holds the classifier of one super-class alone and sees its
            samples alone, as in the paper, so that classifiers may be larger than a GPU in all.
            Needs a multiple of S processes and ``UniformClusterSampler``. The gradients are
            those of one process with the same samples. Defaults to False: every process holds
            all.
        feature_transform: Config of what happens to features before they are clustered, such as
            ``PCAWhitening``. None scales them to unit length and does no more.
        clusterer: Config of the clustering. Defaults to ``TwoLevelKMeans``.
        warm_start: As in :class:`DeepCluster`. Changes results.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.

    Raises:
        ValueError: If numbers do not fit each other, the memory or the processes.
    """

    min_clusters = 1

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        num_super_clusters: int,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        num_rotations: int = 4,
        grouped: bool = False,
        feature_transform: dict[str, Any] | None = None,
        clusterer: dict[str, Any] | None = None,
        warm_start: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if num_rotations not in ROTATIONS:
            raise ValueError(f"model.num_rotations must be 1 or 4, got {num_rotations}")
        numbers = {"num_clusters": num_clusters, "num_super_clusters": num_super_clusters}
        clusterer = dict(clusterer or {"type": "TwoLevelKMeans"})
        taken = derived_keys(CLUSTERERS, clusterer)
        if num_super_clusters > 1 and "num_super_clusters" not in taken:
            raise ValueError(
                f"model.clusterer={clusterer['type']} makes one level of clusters, and "
                f"model.num_super_clusters is {num_super_clusters}: use TwoLevelKMeans, or set "
                "model.num_super_clusters=1"
            )
        super().__init__(
            num_samples,
            num_clusters,
            backbone,
            neck,
            clusterer | {name: numbers[name] for name in taken},
            feature_transform,
            warm_start,
            data_preprocessor,
            init_cfg,
        )
        self.num_super_clusters = num_super_clusters
        self.num_rotations = num_rotations
        numbers |= {"in_channels": self.feature_dim, "num_rotations": num_rotations}
        self._group: HeadGroup | None = None
        taken = derived_keys(HEADS, head)
        if grouped:
            if "super_class" not in taken:
                raise ValueError(
                    f"model.grouped=True needs model.head.type='TwoLevelHead', got {head['type']}"
                )
            self._group = HeadGroup(num_rotations * num_super_clusters)
            numbers["super_class"] = self._group.super_class
        config = dict(head) | {name: numbers[name] for name in taken if name in numbers}
        self.head = HEADS.build(config)
        if self._group is not None:
            for parameter in self.partial_parameters().values():
                # Before gradients are added up, so that it may happen in several passes.
                parameter.register_hook(self._group.reduce_gradient)

    def shard(self, partition: Partition) -> None:
        """Joins the processes of the same super-class; labels are held by every process."""
        super().shard(partition)
        if self._group is not None:
            self._group.join()

    @property
    def chance_loss(self) -> float:
        """Loss of a network that guesses."""
        return float(self.head.chance_loss)

    @property
    def num_sub_clusters(self) -> int:
        """K/m, the clusters of each super-cluster."""
        return self.num_clusters // self.num_super_clusters

    @property
    def clusters_at_once(self) -> int:
        """Clusters of the larger of the two levels."""
        return max(self.num_super_clusters, self.num_sub_clusters)

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Refuses images (C, H, W) that cannot be turned."""
        if self.num_rotations > 1:
            check_square(shape)

    def loss(self, inputs: Tensor, sample_idx: Tensor) -> dict[str, Tensor]:
        """Turns the images and predicts turns and clusters [0].

        Raises:
            RuntimeError: If there was no clustering.
        """
        if self._group is None:
            rotations = draw_rotations(len(inputs), self.num_rotations)
        else:
            turns = self._group.super_class // self.num_super_clusters
            rotations = torch.full((len(inputs),), turns)
        return self.loss_of_turned(rotate(inputs, rotations), sample_idx, rotations)

    def loss_of_turned(
        self, inputs: Tensor, sample_idx: Tensor, rotations: Tensor
    ) -> dict[str, Tensor]:
        """The same for images that were turned already.

        Args:
            inputs: Images (B, C, H, W).
            sample_idx: Index of each image in the data set, int64 (B,).
            rotations: Quarter turns, int64 (B,).
        """
        if self.cycle == 0:
            raise RuntimeError(
                "DeeperCluster needs EpochClusteringHook (default_hooks.clustering), which "
                "clusters the features before an epoch"
            )
        labels = self.label_bank.lookup(sample_idx)
        targets = self.head.targets(rotations.to(labels.device, non_blocking=True), labels)
        features = self.neck(self.backbone(inputs)[-1])
        with torch.autocast(device_type=features.device.type, enabled=False):
            losses: dict[str, Tensor] = self.head(F.relu(features.float()), targets)
        return losses

    @property
    def head_group(self) -> HeadGroup | None:
        """Processes of the same super-class, in the grouped mode."""
        return self._group

    @property
    def draw_group(self) -> DrawGroup | None:
        """In the grouped mode the clusters of the super-cluster that this process sees."""
        if self._group is None:
            return None
        size = self.num_sub_clusters
        number = self._group.super_class % self.num_super_clusters
        return DrawGroup(
            clusters=range(number * size, (number + 1) * size),
            rank=self._group.rank,
            world_size=self._group.size,
            stream=self._group.super_class,
        )

    def reset_head(self, seed: int) -> tuple[nn.Parameter, ...]:
        """New random weights for all classifiers (R58)."""
        self.head.reset(seed)
        return tuple(self.head.parameters())

    def partial_parameters(self) -> dict[str, nn.Parameter]:
        """In the grouped mode the classifier over clusters, of which there are S in all."""
        if self._group is None:
            return {}
        named = dict(self.head.named_parameters())
        return {f"head.{name}": named[name] for name in self.head.partial_names if name in named}

    @classmethod
    def config_to_use(cls, model: dict[str, Any]) -> dict[str, Any]:
        """Outside of training one process holds everything."""
        return model | {"grouped": False}


def derived_keys(registry: Any, config: dict[str, Any]) -> tuple[str, ...]:
    """Keys that a component of a config is given by the algorithm.

    Raises:
        ValueError: If there is no such component.
    """
    kind = find_component(registry, config["type"])
    if kind is None:
        raise ValueError(f"no component {config['type']!r} is registered")
    return tuple(getattr(kind, "derived_keys", ()))
