"""The linear classifier over clusters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.registry import HEADS


@HEADS.register_module()
class ClusterHead(nn.Module):
    """One linear layer from features (B, D) to logits (B, K).

    Args:
        in_channels: D. Derived from the neck in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        init_std: Standard deviation of the first weights; biases start at 0, so the first loss is
            about ln K. Defaults to 0.01, the value of DeepCluster and ODC.
    """

    derived_keys = {"in_channels": "model.neck", "num_clusters": "model.num_clusters"}

    def __init__(self, in_channels: int, num_clusters: int, init_std: float = 0.01) -> None:
        super().__init__()
        self.num_clusters = num_clusters
        self.init_std = init_std
        self.fc = nn.Linear(in_channels, num_clusters)
        nn.init.normal_(self.fc.weight, std=init_std)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.fc(features)
        return logits

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """New random weights and zero biases, the same on every process and device."""
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(self.fc.weight.shape, generator=generator)
        self.fc.weight.copy_(weight * self.init_std)
        self.fc.bias.zero_()

    @torch.no_grad()
    def point_to(self, means: Tensor) -> None:
        """Lets each row point from the overall mean of the clusters to the mean of its own.

        Rows have the length that random ones have on average, so the first loss is about ln K.

        Args:
            means: Mean input of the head over the members of each cluster (K, D).
        """
        length = self.init_std * means.shape[1] ** 0.5
        directions = F.normalize(means - means.mean(dim=0), dim=1)
        self.fc.weight.copy_(directions * length)
        self.fc.bias.zero_()

    @torch.no_grad()
    def copy_row(self, source: int, target: int, seed: int) -> None:
        """Lets cluster ``target`` start from what is known of ``source``.

        The row is copied with noise of a tenth of ``init_std``, so that the two can part. Used
        where an id is given members of another cluster: its old row describes a cluster that no
        longer exists.
        """
        generator = torch.Generator().manual_seed(seed)
        row = self.fc.weight[source]
        noise = torch.randn(row.shape, generator=generator).to(row) * (0.1 * self.init_std)
        self.fc.weight[target] = row + noise
        self.fc.bias[target] = self.fc.bias[source]
