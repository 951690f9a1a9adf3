"""Average pooling of feature maps to vectors."""

from __future__ import annotations

from torch import Tensor, nn

from mmdeepcluster.registry import NECKS


def global_average_pool(features: Tensor) -> Tensor:
    """Mean over positions of (B, C, H, W); vectors (B, C) pass unchanged."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


@NECKS.register_module()
class AveragePoolNeck(nn.Module):
    """Clusters the pooled features of the backbone themselves.

    Args:
        in_channels: Width of the backbone's last output. Derived from the backbone in a config.
    """

    derived_keys = {"in_channels": "model.backbone"}

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, C, H, W) or (B, C) to (B, C)."""
        return global_average_pool(features)
