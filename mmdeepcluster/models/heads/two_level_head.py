"""A classifier over super-classes, and inside each of them one over its clusters."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.heads.targets import HostCounts, seeded_normal
from mmdeepcluster.registry import HEADS


class TwoLevelTargets(NamedTuple):
    """What a batch is taught.

    Attributes:
        super_class: Super-class y of each sample, int64 (B,).
        sub_class: Cluster z inside the super-class, int64 (B,).
        sizes: Samples of each super-class; None where only one is held here.
    """

    super_class: Tensor
    sub_class: Tensor
    sizes: HostCounts | None


@HEADS.register_module()
class TwoLevelHead(nn.Module):
    """Predicts the super-class, and the cluster given the super-class (R57).

    There are S = R m super-classes, pairs of a rotation and a super-cluster, and each has a
    classifier of its own over the K/m clusters of the super-cluster. The loss of a batch is
    ``1/B sum_n [ l(V f_n, y_n) + l(W_{y_n} f_n, z_n) ]`` with l the negative log-softmax
    (DeeperCluster, arXiv 1905.01278). A level with one class only is left out: with
    K = 1 this is RotNet (arXiv 1803.07728), with R = m = 1 DeepCluster.

    Clusters are numbered ``super-cluster * K/m + sub-cluster``, super-classes ``rotation * m +
    super-cluster``.

    Args:
        in_channels: D. Derived from the neck in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        num_rotations: R. Derived from ``model.num_rotations`` in a config.
        num_super_clusters: m, which divides K. Derived from ``model.num_super_clusters``.
        super_class: The only super-class whose classifier this process holds, where processes
            share them (``model.grouped``). None, the default, holds all. Derived.
        init_std: Standard deviation of the first weights; biases start at 0.

    Raises:
        ValueError: If m does not divide K, or there is nothing to predict.
    """

    derived_keys = {
        "in_channels": "model.neck",
        "num_clusters": "model.num_clusters",
        "num_rotations": "model.num_rotations",
        "num_super_clusters": "model.num_super_clusters",
        "super_class": "model.grouped",
    }
    # Parameters of which a process holds the part of its super-class alone.
    partial_names = ("sub_weight", "sub_bias")

    def __init__(
        self,
        in_channels: int,
        num_clusters: int,
        num_rotations: int = 4,
        num_super_clusters: int = 1,
        super_class: int | None = None,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        if num_clusters % num_super_clusters:
            raise ValueError(
                f"model.num_clusters ({num_clusters}) must be a multiple of "
                f"model.num_super_clusters ({num_super_clusters})"
            )
        self.num_super_clusters = num_super_clusters
        self.num_rotations = num_rotations
        self.num_super_classes = num_rotations * num_super_clusters
        self.num_sub_clusters = num_clusters // num_super_clusters
        if self.num_super_classes == 1 and self.num_sub_clusters == 1:
            raise ValueError(
                "one cluster and no rotation leave nothing to predict: raise model.num_clusters, "
                "or set model.num_rotations=4"
            )
        self.super_class = super_class
        self.init_std = init_std
        self.super_fc: nn.Linear | None = None
        if self.num_super_classes > 1:
            self.super_fc = nn.Linear(in_channels, self.num_super_classes)
        self.sub_weight: nn.Parameter | None = None
        self.sub_bias: nn.Parameter | None = None
        if self.num_sub_clusters > 1:
            size = self.num_super_classes if super_class is None else 1
            self.sub_weight = nn.Parameter(torch.empty(size, self.num_sub_clusters, in_channels))
            self.sub_bias = nn.Parameter(torch.empty(size, self.num_sub_clusters))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=init_std)
        for bias in (self.sub_bias, None if self.super_fc is None else self.super_fc.bias):
            if bias is not None:
                nn.init.zeros_(bias)

    @property
    def chance_loss(self) -> float:
        """Loss of a guess: ln S + ln(K/m)."""
        return math.log(self.num_super_classes) + math.log(self.num_sub_clusters)

    def targets(self, rotations: Tensor, labels: Tensor) -> TwoLevelTargets:
        """Super-class and cluster inside it; to be made before the forward pass of the network.

        Args:
            rotations: Number of quarter turns, int64 (B,).
            labels: Cluster, int64 (B,).
        """
        supers = rotations * self.num_super_clusters + labels // self.num_sub_clusters
        sizes = None
        if self.sub_weight is not None and len(self.sub_weight) > 1:
            sizes = HostCounts(supers, self.num_super_classes)
        return TwoLevelTargets(supers, labels % self.num_sub_clusters, sizes)

    def forward(self, features: Tensor, targets: TwoLevelTargets) -> dict[str, Tensor]:
        """Losses and accuracies.

        Args:
            features: Features (B, D), fp32. Where ``super_class`` is given, all are of it.
            targets: What :meth:`targets` returned.

        Returns:
            ``loss_super`` and ``loss_sub``, each where its level has more than one class; with
            several super-classes ``super_accuracy``, and with rotations ``rotation_accuracy``,
            the share of samples whose likeliest super-class has the right rotation.
        """
        found: dict[str, Tensor] = {}
        if self.super_fc is not None:
            logits = self.super_fc(features)
            found["loss_super"] = F.cross_entropy(logits, targets.super_class)
            likeliest, size = logits.detach().argmax(dim=1), self.num_super_clusters
            if size > 1:
                found["super_accuracy"] = (likeliest == targets.super_class).float().mean()
            if self.num_rotations > 1:
                right = likeliest // size == targets.super_class // size
                found["rotation_accuracy"] = right.float().mean()
        if self.sub_weight is not None:
            found["loss_sub"] = self._sub_loss(features, targets)
        return found

    def _sub_loss(self, features: Tensor, targets: TwoLevelTargets) -> Tensor:
        """Mean over the batch of the loss of each sample's own classifier."""
        assert self.sub_weight is not None and self.sub_bias is not None
        if targets.sizes is None:
            logits = F.linear(features, self.sub_weight[0], self.sub_bias[0])
            return F.cross_entropy(logits, targets.sub_class)
        order = targets.super_class.argsort(stable=True)
        sizes = targets.sizes.tolist()
        # Gradients of all classifiers are there in each step, zero where no sample is of one, so
        # that processes which average them wait for nothing.
        parts = zip(
            features[order].split(sizes),
            targets.sub_class[order].split(sizes),
            self.sub_weight.unbind(),
            self.sub_bias.unbind(),
            strict=True,
        )
        losses = [
            F.cross_entropy(F.linear(rows, weight, bias), classes, reduction="sum")
            for rows, classes, weight, bias in parts
            if len(rows)
        ]
        return torch.stack(losses).sum() / len(features)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """New random weights and zero biases.

        Those of a super-class are the same on every process and device, wherever they are held.
        """
        if self.super_fc is not None:
            weight = self.super_fc.weight
            weight.copy_(seeded_normal(weight.shape, self.init_std, seed, 0))
            self.super_fc.bias.zero_()
        if self.sub_weight is not None and self.sub_bias is not None:
            first = self.super_class or 0
            for index, weight in enumerate(self.sub_weight):
                stream = 1 + first + index
                weight.copy_(seeded_normal(weight.shape, self.init_std, seed, stream))
            self.sub_bias.zero_()
