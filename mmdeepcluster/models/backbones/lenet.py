"""LeNet-5, by default with batch normalisation, for images of 32x32 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import ChainedBackbone
from mmdeepcluster.registry import BACKBONES

_IMAGE_SIZE = 32


@BACKBONES.register_module()
class LeNet5(ChainedBackbone):
    """LeNet-5 of the DeepCluster "Deep Dive" study [0], section 3.3.

    conv 6@5x5, BN, ReLU, pool - conv 16@5x5, BN, ReLU, pool - FC 120, ReLU - FC 84. The last
    ReLU belongs to the head: the 84 features are taken before it and hold negative values.
    A ``conv_`` stage is the plain output of the convolution, a ``relu_`` stage follows BN and
    ReLU, and pooling happens at the entry of the next stage; ``conv_2`` is 16x10x10 = 1600 wide.

    - [0]: DeepCluster: A Deep Dive into Deep Clustering, section 3.3 and details A.

    Args:
        in_channels: Channels of the images. Defaults to 1.
        out_indices: Stages to return, of ``conv_1, relu_1, conv_2, relu_2, fc_1, fc_2``.
            Defaults to (-1,), the 84 features.
        batch_norm: Puts BN behind each convolution, which then has no bias. Defaults to True.
            Without it the convolutions have biases. Changes results.

    Raises:
        ValueError: If ``out_indices`` names no stage, or images are not of 32x32 pixels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_indices: Sequence[int] = (-1,),
        batch_norm: bool = True,
    ) -> None:
        widths = {"conv_1": 6, "relu_1": 6, "conv_2": 16, "relu_2": 16, "fc_1": 120, "fc_2": 84}
        super().__init__(in_channels, widths, out_indices)
        # the mean that a bias shifts is removed by the batch normalisation after it
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5, bias=not batch_norm)
        self.bn1 = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5, bias=not batch_norm)
        self.bn2 = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)

    def check_input(self, x: Tensor) -> None:
        """Refuses images of the wrong channels, and any size but 32x32."""
        super().check_input(x)
        if tuple(x.shape[2:]) != (_IMAGE_SIZE, _IMAGE_SIZE):
            raise ValueError(
                f"model.backbone=LeNet5 takes images of {_IMAGE_SIZE}x{_IMAGE_SIZE} pixels, got "
                f"{x.shape[2]}x{x.shape[3]}: resize or crop to {_IMAGE_SIZE} in train_pipeline "
                "and eval_pipeline, or choose model.backbone.type='ConvNet' or 'ResNet'"
            )

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        match self.stage_names[index]:
            case "conv_1":
                out: Tensor = self.conv1(x)
            case "relu_1":
                out = F.relu(self.bn1(x))
            case "conv_2":
                out = self.conv2(F.max_pool2d(x, 2))
            case "relu_2":
                out = F.relu(self.bn2(x))
            case "fc_1":
                out = self.fc1(F.max_pool2d(x, 2).flatten(1))
            case _:
                out = self.fc2(F.relu(x))
        return out
