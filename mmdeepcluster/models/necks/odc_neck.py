"""The neck of Online Deep Clustering."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmdeepcluster.models.necks.average_pool import global_average_pool
from mmdeepcluster.registry import NECKS


@NECKS.register_module()
class ODCNeck(nn.Module):
    """FC - BN - ReLU - Dropout - FC - ReLU on the pooled features of the backbone.

    Source: ODC (arXiv 2006.10645), section 3.2, "Dimensionality Reduction"; the batch norm without
    affine parameters and with momentum 0.001 is that of the released code.

    Args:
        in_channels: Width of the backbone's last output. Derived from the backbone in a config.
        hidden_channels: Width of the first layer. Defaults to 512.
        out_channels: Width D of the features that are clustered. Defaults to 256.
        dropout: Defaults to 0.5. On small sets 0 learns better. Changes results.
        final_relu: Whether the features end in a ReLU. With it a feature can become zero and lose
            its direction. Defaults to True, the paper. Changes results.
        norm_cfg: Batch norm of the hidden layer. A momentum of 0.001 needs thousands of iterations
            before evaluation-mode features are right; short trainings want 0.1. Defaults to
            ``dict(type='BN1d', momentum=0.001, affine=False)``.
    """

    derived_keys = {"in_channels": "model.backbone"}

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 512,
        out_channels: int = 256,
        dropout: float = 0.5,
        final_relu: bool = True,
        norm_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        norm_cfg = dict(norm_cfg or {"type": "BN1d", "momentum": 0.001, "affine": False})
        self.out_channels = out_channels
        self.fc0 = nn.Linear(in_channels, hidden_channels)
        self.bn0 = build_norm_layer(norm_cfg, hidden_channels)[1]
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(dropout)
        self.fc1 = nn.Linear(hidden_channels, out_channels)
        self.final_relu = nn.ReLU() if final_relu else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, C, H, W) or (B, C) to (B, D)."""
        hidden = self.drop(self.relu(self.bn0(self.fc0(global_average_pool(features)))))
        output: Tensor = self.final_relu(self.fc1(hidden))
        return output
