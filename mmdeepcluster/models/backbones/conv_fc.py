"""Convolutions in a row, then fully connected layers: what AlexNet and VGG have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import ChainedBackbone


class Conv(NamedTuple):
    """A convolution: kernel size, stride and padding."""

    kernel: int
    stride: int
    padding: int


class Pool(NamedTuple):
    """A max-pooling: kernel size and stride."""

    kernel: int
    stride: int


class ConvFCBackbone(ChainedBackbone):
    """Layers numbered as in the literature: convolutions from 1 on, then fully connected ones.

    Stages are ``conv_i`` and ``fc_i``, the plain output of the layer; ``relu_i``, behind BN, where
    the layer is a convolution, and ReLU; ``pool_i``, behind that. Convolutions start from
    N(0, sqrt(2 / (k^2 c_out))), fully connected layers from N(0, 0.01), as in the published code
    of DeepCluster, biases from 0.

    Args:
        in_channels: Channels of the images.
        convs: The convolutions, in order.
        widths: Their filters.
        pools: The max-poolings, by the number of the convolution that they follow.
        image_size: Height and width in pixels of the images.
        fc_channels: Widths of the fully connected layers.
        dropout: Share of the inputs that is dropped in training before the ``dropped`` layers.
        dropped: Numbers of the fully connected layers with dropout before them.
        out_indices: Stages to return.
        sobel: Puts a Sobel layer in front.
        batch_norm: Puts BN behind each convolution, which then has no bias. Defaults to True.

    Raises:
        ValueError: If the number of widths is wrong, one is not positive, ``dropout`` is not in
            [0, 1), or as :class:`Backbone`.
    """

    def __init__(
        self,
        in_channels: int,
        convs: Sequence[Conv],
        widths: Sequence[int],
        pools: Mapping[int, Pool],
        image_size: int,
        fc_channels: Sequence[int],
        dropout: float,
        dropped: Collection[int],
        out_indices: Sequence[int],
        sobel: bool,
        batch_norm: bool = True,
    ) -> None:
        _check_widths("widths", widths, len(convs))
        _check_widths("fc_channels", fc_channels, 2)
        if not 0 <= dropout < 1:
            raise ValueError(f"model.backbone.dropout must be in [0, 1), got {dropout}")
        super().__init__(in_channels, _stages(widths, pools, fc_channels), out_indices, sobel)
        self._convs, self._pools, self.dropped = tuple(convs), dict(pools), frozenset(dropped)
        self._image_size = image_size
        self._map_size = self._last_map(image_size)
        channels = self.stem_channels
        for number, (width, conv) in enumerate(zip(widths, convs, strict=True), start=1):
            self.add_module(f"conv{number}", _conv(channels, width, conv, bias=not batch_norm))
            self.add_module(f"bn{number}", nn.BatchNorm2d(width) if batch_norm else nn.Identity())
            channels = width
        self.drop = nn.Dropout(dropout)
        channels *= self._map_size**2
        for number, width in enumerate(fc_channels, start=len(convs) + 1):
            self.add_module(f"fc{number}", _linear(channels, width))
            channels = width

    def check_input(self, x: Tensor) -> None:
        """Refuses images of the wrong channels, or whose last map has not the right size."""
        super().check_input(x)
        height, width = x.shape[2:]
        if {self._last_map(height), self._last_map(width)} != {self._map_size}:
            size = self._image_size
            fitting = [n for n in range(1, 2 * size) if self._last_map(n) == self._map_size]
            raise ValueError(
                f"model.backbone={type(self).__name__} takes images of {size}x{size} pixels "
                f"({fitting[0]} to {fitting[-1]}), got {height}x{width}: resize or crop to {size} "
                "in train_pipeline and eval_pipeline, or choose model.backbone.type='ResNet' or "
                "'ConvNet'"
            )

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        kind, digits = self.stage_names[index].split("_")
        number = int(digits)
        match kind:
            case "conv":
                out: Tensor = self.get_submodule(f"conv{number}")(x)
            case "pool":
                out = F.max_pool2d(x, *self._pools[number])
            case "fc":
                x = self.drop(x.flatten(1)) if number in self.dropped else x.flatten(1)
                out = self.get_submodule(f"fc{number}")(x)
            case _:
                out = F.relu(self.get_submodule(f"bn{number}")(x) if x.ndim == 4 else x)
        return out

    def _last_map(self, pixels: int) -> int:
        """Height or width of the last map of an image of that height or width."""
        size = pixels
        for number, conv in enumerate(self._convs, start=1):
            size = (size + 2 * conv.padding - conv.kernel) // conv.stride + 1
            if number in self._pools:
                size = (size - self._pools[number].kernel) // self._pools[number].stride + 1
        return size


def _check_widths(key: str, widths: Sequence[int], number: int) -> None:
    if len(widths) != number or min(widths) < 1:
        raise ValueError(
            f"model.backbone.{key} must be {number} positive numbers, got {list(widths)}"
        )


def _stages(
    widths: Sequence[int], pools: Collection[int], fc_channels: Sequence[int]
) -> dict[str, int]:
    """Name and width of each stage, in order."""
    stages: dict[str, int] = {}
    for number, width in enumerate(widths, start=1):
        stages |= {f"conv_{number}": width, f"relu_{number}": width}
        if number in pools:
            stages[f"pool_{number}"] = width
    for number, width in enumerate(fc_channels, start=len(widths) + 1):
        stages |= {f"fc_{number}": width, f"relu_{number}": width}
    return stages


def _conv(in_channels: int, out_channels: int, conv: Conv, bias: bool) -> nn.Conv2d:
    # the mean that a bias shifts is removed by the batch normalisation after it
    layer = nn.Conv2d(in_channels, out_channels, *conv, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _linear(in_channels: int, out_channels: int) -> nn.Linear:
    layer = nn.Linear(in_channels, out_channels)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
