"""LeNet-5 with batch norm."""

from __future__ import annotations

from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import BaseBackbone
from mmdeepcluster.registry import BACKBONES

_SIZE = 32


@BACKBONES.register_module()
class LeNet5(BaseBackbone):
    """LeNet-5 for images of 32x32 (R17).

    Source: "A Deep Dive into Deep Cluster" (arXiv 2207.11839), section 3.3: two 5x5 convolutions of
    6 and 16 filters, each with batch norm, ReLU and 2x2 max-pool, then FC 120 and FC 84. The
    features are those of the last layer before its ReLU, so they have both signs.

    Stages: ``conv_2`` (16, 10, 10), before its pooling; ``fc_1`` (120); ``fc_2`` (84).

    Args:
        in_channels: Channels of the images. Defaults to 1.
    """

    stage_names = ("conv_2", "fc_1", "fc_2")
    out_indices = (2,)
    out_channels = 84

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv_1 = nn.Sequential(nn.Conv2d(in_channels, 6, 5), nn.BatchNorm2d(6), nn.ReLU())
        self.conv_2 = nn.Sequential(nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.fc_1 = nn.Sequential(nn.Linear(16 * 5 * 5, 120), nn.ReLU())
        self.fc_2 = nn.Linear(120, 84)

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every stage by name.

        Raises:
            ValueError: If the images are not (B, in_channels, 32, 32).
        """
        self.check_channels(images)
        if images.shape[2:] != (_SIZE, _SIZE):
            raise ValueError(
                f"LeNet5 takes images of {_SIZE}x{_SIZE}, got {images.shape[2]}x{images.shape[3]}: "
                f"resize and crop to {_SIZE} in train_pipeline and eval_pipeline"
            )
        conv_2 = self.conv_2(self.pool(self.conv_1(images)))
        fc_1 = self.fc_1(self.pool(conv_2).flatten(1))
        return {"conv_2": conv_2, "fc_1": fc_1, "fc_2": self.fc_2(fc_1)}
