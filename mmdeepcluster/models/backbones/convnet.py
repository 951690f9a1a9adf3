"""A plain convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import BaseBackbone
from mmdeepcluster.registry import BACKBONES


@BACKBONES.register_module()
class ConvNet(BaseBackbone):
    """Stages of 3x3 convolutions with batch norm and ReLU, 2x2 max-pools between them.

    Small enough to be trained on a CPU. Stages are named ``stage_1``, ``stage_2``, ...; a stage
    gives its maps before pooling.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        widths: Filters of each stage. Defaults to (32, 64, 128, 256).
        convs_per_stage: Convolutions in each stage. Defaults to 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 256),
        convs_per_stage: int = 1,
    ) -> None:
        super().__init__()
        if not widths or convs_per_stage < 1:
            raise ValueError(
                "model.backbone needs widths and convs_per_stage of at least 1, got "
                f"{tuple(widths)} and {convs_per_stage}"
            )
        self.in_channels = in_channels
        self.out_channels = widths[-1]
        self.stage_names = tuple(f"stage_{number}" for number in range(1, len(widths) + 1))
        self.out_indices = (len(widths) - 1,)
        self.stages = nn.ModuleList()
        for width in widths:
            layers: list[nn.Module] = []
            for _ in range(convs_per_stage):
                layers += [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                in_channels = width
            self.stages.append(nn.Sequential(*layers))
        self.pool = nn.MaxPool2d(2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every stage by name, maps (B, width, H, W)."""
        self.check_channels(images)
        outputs: dict[str, Tensor] = {}
        maps = images
        for number, (name, stage) in enumerate(zip(self.stage_names, self.stages, strict=True)):
            maps = stage(maps if number == 0 else self.pool(maps))
            outputs[name] = maps
        return outputs
