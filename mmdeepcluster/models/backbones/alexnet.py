"""AlexNet with batch normalisation, for images of 224x224 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import ChainedBackbone
from mmdeepcluster.registry import BACKBONES

# kernel size, stride and padding of each convolution
_CONVS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
_POOLED_CONVS = (1, 2, 5)
_MAP_SIZE = 6  # of the last map, 256x6x6 = 9216 numbers, which the first FC layer takes


@BACKBONES.register_module()
class AlexNet(ChainedBackbone):
    """AlexNet of DeepCluster [0] and ODC [1]: no LRN, but BN after each convolution.

    Numbered as in the literature: 1 to 5 are convolutions, 6 and 7 are fully connected. Stages, at
    224x224 pixels:

    - ``conv_1``, ``relu_1`` 96x55x55, ``pool_1`` 96x27x27, ``conv_2``, ``relu_2`` 256x27x27,
      ``pool_2`` 256x13x13, ``conv_3``, ``relu_3``, ``conv_4``, ``relu_4`` 384x13x13, ``conv_5``,
      ``relu_5`` 256x13x13, ``pool_5`` 256x6x6;
    - ``fc_6``, ``relu_6``, ``fc_7``, ``relu_7`` 4096.

    A ``conv_`` or ``fc_`` stage is the plain output of that layer; a ``relu_`` stage follows BN,
    where there is one, and ReLU. Dropout stands before each ``fc_`` layer. ``fc_7`` is what
    DeepCluster clusters, before the last ReLU, which comes back in front of its classifier;
    ``relu_7`` (``out_indices=(-1,)``) feeds the neck of ODC, which would otherwise set a linear
    layer on a linear layer. Convolutions start from N(0, sqrt(2 / (k^2 c_out))), fully connected
    layers from N(0, 0.01).

    - [0]: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018,
      section 4; widths, BN and initialisation as in the published network.
    - [1]: Zhan et al., Online Deep Clustering, CVPR 2020, section 3.4.

    Args:
        in_channels: Channels of the images: 3, or the 2 of a Sobel layer. Defaults to 3.
        widths: Filters of the five convolutions. Defaults to (96, 256, 384, 384, 256).
        fc_channels: Widths of the two fully connected layers. Defaults to (4096, 4096).
        dropout: Share of the inputs of each fully connected layer that is dropped in training.
            Defaults to 0.5. Changes results.
        out_indices: Stages to return. Defaults to (-2,), ``fc_7``.

    Raises:
        ValueError: If there are not five widths and two fully connected layers, all positive,
            ``dropout`` is not in [0, 1), ``out_indices`` names no stage, or images are not of
            about 224x224 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (96, 256, 384, 384, 256),
        fc_channels: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        out_indices: Sequence[int] = (-2,),
    ) -> None:
        _check_widths("widths", widths, len(_CONVS))
        _check_widths("fc_channels", fc_channels, 2)
        if not 0 <= dropout < 1:
            raise ValueError(f"model.backbone.dropout must be in [0, 1), got {dropout}")
        super().__init__(in_channels, _stages(widths, fc_channels), out_indices)
        channels = in_channels
        for number, (width, (kernel, stride, padding)) in enumerate(
            zip(widths, _CONVS, strict=True), start=1
        ):
            # the mean that a bias shifts is removed by the batch normalisation after it
            conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(width))
            channels = width
        self.drop = nn.Dropout(dropout)
        self.fc6 = _linear(channels * _MAP_SIZE**2, fc_channels[0])
        self.fc7 = _linear(fc_channels[0], fc_channels[1])

    def check_input(self, x: Tensor) -> None:
        """Refuses images of the wrong channels, or whose last map is not of 6x6."""
        super().check_input(x)
        height, width = x.shape[2:]
        if _map_size(height) != _MAP_SIZE or _map_size(width) != _MAP_SIZE:
            raise ValueError(
                f"model.backbone=AlexNet takes images of 224x224 pixels (223 to 254), got "
                f"{height}x{width}: resize or crop to 224 in train_pipeline and eval_pipeline, "
                "or choose model.backbone.type='ResNet' or 'ConvNet'"
            )

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        kind, number = self.stage_names[index].split("_")
        match kind:
            case "conv":
                out: Tensor = getattr(self, f"conv{number}")(x)
            case "pool":
                out = F.max_pool2d(x, kernel_size=3, stride=2)
            case "fc":
                out = getattr(self, f"fc{number}")(self.drop(x.flatten(1)))
            case _:
                out = F.relu(getattr(self, f"bn{number}")(x) if x.ndim == 4 else x)
        return out


def _check_widths(key: str, widths: Sequence[int], number: int) -> None:
    if len(widths) != number or min(widths) < 1:
        raise ValueError(
            f"model.backbone.{key} must be {number} positive numbers, got {list(widths)}"
        )


def _stages(widths: Sequence[int], fc_channels: Sequence[int]) -> dict[str, int]:
    """Name and width of each stage, in order."""
    stages: dict[str, int] = {}
    for number, width in enumerate(widths, start=1):
        stages |= {f"conv_{number}": width, f"relu_{number}": width}
        if number in _POOLED_CONVS:
            stages[f"pool_{number}"] = width
    for number, width in enumerate(fc_channels, start=len(widths) + 1):
        stages |= {f"fc_{number}": width, f"relu_{number}": width}
    return stages


def _linear(in_channels: int, out_channels: int) -> nn.Linear:
    layer = nn.Linear(in_channels, out_channels)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def _map_size(pixels: int) -> int:
    """Height or width of the last map of an image of that height or width."""
    size = pixels
    for number, (kernel, stride, padding) in enumerate(_CONVS, start=1):
        size = (size + 2 * padding - kernel) // stride + 1
        if number in _POOLED_CONVS:
            size = (size - 3) // 2 + 1
    return size
