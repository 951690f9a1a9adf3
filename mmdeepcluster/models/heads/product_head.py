"""One classifier over every pair of rotation and cluster."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.heads.targets import seeded_normal
from mmdeepcluster.registry import HEADS


@HEADS.register_module()
class ProductHead(nn.Module):
    """Predicts the pair of rotation and cluster as one of R K classes (R56).

    The simple way to learn both at once: the Cartesian product of the two label sets
    (DeeperCluster, arXiv 1905.01278). Its weights grow with R K; where that is much,
    :class:`TwoLevelHead` predicts the same in two steps.

    Args:
        in_channels: D. Derived from the neck in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        num_rotations: R. Derived from ``model.num_rotations`` in a config.
        init_std: Standard deviation of the first weights; biases start at 0.
    """

    derived_keys = {
        "in_channels": "model.neck",
        "num_clusters": "model.num_clusters",
        "num_rotations": "model.num_rotations",
    }

    def __init__(
        self,
        in_channels: int,
        num_clusters: int,
        num_rotations: int = 4,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        self.num_clusters = num_clusters
        self.num_rotations = num_rotations
        self.init_std = init_std
        self.fc = nn.Linear(in_channels, num_rotations * num_clusters)
        nn.init.normal_(self.fc.weight, std=init_std)
        nn.init.zeros_(self.fc.bias)

    @property
    def chance_loss(self) -> float:
        """Loss of a guess: ln(R K)."""
        return math.log(self.num_rotations * self.num_clusters)

    def targets(self, rotations: Tensor, labels: Tensor) -> Tensor:
        """Class ``rotation * K + cluster`` of each sample, int64 (B,).

        Args:
            rotations: Number of quarter turns, int64 (B,).
            labels: Cluster, int64 (B,).
        """
        return rotations * self.num_clusters + labels

    def forward(self, features: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Loss and rotation accuracy.

        Args:
            features: Features (B, D), fp32.
            targets: What :meth:`targets` returned.

        Returns:
            ``loss``; with rotations ``rotation_accuracy``, how many of them the likeliest class
            has right.
        """
        logits = self.fc(features)
        found = {"loss": F.cross_entropy(logits, targets)}
        if self.num_rotations > 1:
            right = logits.detach().argmax(dim=1) // self.num_clusters == (
                targets // self.num_clusters
            )
            found["rotation_accuracy"] = right.float().mean()
        return found

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """New random weights and zero biases, the same on every process and device."""
        self.fc.weight.copy_(seeded_normal(self.fc.weight.shape, self.init_std, seed, 0))
        self.fc.bias.zero_()
