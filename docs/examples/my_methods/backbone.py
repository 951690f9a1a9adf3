"""A backbone: ConvMixer (Trockman, Kolter: Patches Are All You Need?, arXiv 2201.09792)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmdeepcluster.models.backbones import ChainedBackbone
from mmdeepcluster.registry import BACKBONES


class _Mixed(nn.Module):
    """What a layer adds to its input, by a depthwise convolution."""

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, kernel_size, groups=width, padding="same"),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both (B, width, H, W)."""
        return x + self.layers(x)


@BACKBONES.register_module()
class ConvMixer(ChainedBackbone):
    """Patches, then ``depth`` times a depthwise and a pointwise convolution.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        width: Channels of all layers. Defaults to 64.
        depth: Number of mixing layers. Defaults to 2.
        patch_size: Pixels of a patch in each direction. Defaults to 4.
        kernel_size: Of the depthwise convolutions. Defaults to 5.
        out_indices: Stages to return, of ``patches, mixer_1, mixer_2, ...``. Defaults to the last.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: int = 64,
        depth: int = 2,
        patch_size: int = 4,
        kernel_size: int = 5,
        out_indices: Sequence[int] = (-1,),
    ) -> None:
        names = ("patches", *(f"mixer_{number}" for number in range(1, depth + 1)))
        # The name and the channels of each stage are all that the framework has to know.
        super().__init__(in_channels, dict.fromkeys(names, width), out_indices)
        patches = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)
        self.stages = nn.ModuleList([nn.Sequential(patches, nn.GELU(), nn.BatchNorm2d(width))])
        for _ in range(depth):
            pointwise = nn.Conv2d(width, width, 1)
            self.stages.append(
                nn.Sequential(
                    _Mixed(width, kernel_size), pointwise, nn.GELU(), nn.BatchNorm2d(width)
                )
            )

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        return self.stages[index](x)
