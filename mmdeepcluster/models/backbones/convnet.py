"""A small plain convolutional network, fast on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import ChainedBackbone
from mmdeepcluster.registry import BACKBONES


@BACKBONES.register_module()
class ConvNet(ChainedBackbone):
    """Stages of 3x3 convolutions with 2x2 max-pooling in between, for images of about 32x32.

    Each stage is ``convs_per_stage`` times (conv 3x3, BN, ReLU). It halves the resolution first,
    except for the first stage, so the last map of a 32x32 image is 4x4 with four stages.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        widths: Channels of each stage. Defaults to (32, 64, 128, 256).
        convs_per_stage: Convolutions in each stage. Defaults to 1.
        out_indices: Stages to return, of ``stage_1, stage_2, ...``. Defaults to (-1,), the last.

    Raises:
        ValueError: If a width or ``convs_per_stage`` is not positive, ``widths`` is empty,
            ``out_indices`` names no stage, or an image is too small to be halved that often.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 256),
        convs_per_stage: int = 1,
        out_indices: Sequence[int] = (-1,),
    ) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(
                f"model.backbone.widths must be one positive number per stage, got {list(widths)}"
            )
        if convs_per_stage < 1:
            raise ValueError(f"model.backbone.convs_per_stage must be >= 1, got {convs_per_stage}")
        named = {f"stage_{number}": width for number, width in enumerate(widths, start=1)}
        super().__init__(in_channels, named, out_indices)
        before = (in_channels, *widths[:-1])
        self.stages = nn.ModuleList(
            _stage(source, width, convs_per_stage)
            for source, width in zip(before, widths, strict=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def check_input(self, x: Tensor) -> None:
        """Refuses images of the wrong channels or too small for the number of stages."""
        super().check_input(x)
        smallest = 2 ** (len(self.stages) - 1)
        if min(x.shape[2:]) < smallest:
            raise ValueError(
                f"model.backbone.widths has {len(self.stages)} stages, which need images of at "
                f"least {smallest}x{smallest} pixels, got {x.shape[2]}x{x.shape[3]}: give fewer "
                "widths or larger images"
            )

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        if index > 0:
            x = F.max_pool2d(x, 2)
        out: Tensor = self.stages[index](x)
        return out


def _stage(in_channels: int, width: int, num_convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(num_convs):
        layers += [
            nn.Conv2d(width if number else in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
