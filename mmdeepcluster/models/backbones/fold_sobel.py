"""A network with a Sobel layer as one without."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdeepcluster.models.backbones.base import Backbone
from mmdeepcluster.models.backbones.layers.sobel import Sobel

AnyBackbone = TypeVar("AnyBackbone", bound=Backbone)


def fold_sobel(backbone: AnyBackbone, exact_borders: bool = True) -> AnyBackbone:
    """The same network without its Sobel layer, its first convolution taking colours (R24).

    Grey value, Sobel kernels and the first convolution are linear, so that together they are one
    convolution of the images, two pixels wider and higher (3x3 becomes 5x5). One thing is not:
    the gradients end with the image, while a convolution in one piece also sees the gradients
    between the image and the zeros around it. No single convolution can leave them out: for that
    the row above the image would have to continue it evenly for the one gradient and oddly for
    the other. It matters where the first convolution is padded, at the outputs whose window
    reaches over the border (of AlexNet the outer ring of 55x55, of VGG-16 that of 224x224).
    ``exact_borders`` takes those gradients off again. AlexNetMicro pads nothing and becomes a
    plain convolution that is exact everywhere.

    Args:
        backbone: A backbone built with ``sobel=True``; it is not changed.
        exact_borders: Outputs equal those of ``backbone`` everywhere, at the cost of another
            convolution. False gives a plain ``nn.Conv2d``, for exports to formats or programs
            that want one; only the outputs named above, and what later layers make of them,
            differ. Defaults to True.

    Returns:
        A copy whose ``conv1`` takes images, in the mode of ``backbone``.

    Raises:
        ValueError: If ``backbone`` has no Sobel layer.
    """
    if backbone.sobel is None:
        raise ValueError(
            f"{type(backbone).__name__} has no Sobel layer to fold (model.backbone.sobel=False)"
        )
    folded = copy.deepcopy(backbone)
    folded.sobel = None
    folded.stem_channels = folded.in_channels
    conv: nn.Conv2d = folded.get_submodule("conv1")  # type: ignore[assignment]
    maker = FoldedSobelConv2d if exact_borders and _padding(conv) > 0 else _plain
    folded.add_module("conv1", maker(backbone.sobel, conv).train(conv.training))
    return folded


class FoldedSobelConv2d(nn.Module):
    """Sobel layer and padded convolution in one, equal to both in turn up to the border.

    Args:
        sobel: The Sobel layer.
        conv: The convolution (C_out, 2, k, k) behind it.
    """

    def __init__(self, sobel: Sobel, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = _plain(sobel, conv)
        self.border = copy.deepcopy(conv)
        self.border.bias = None
        self.border.padding = (_padding(conv) - 1,) * 2
        self.kernels: Tensor
        self.register_buffer("kernels", _gray_kernels(sobel).to(conv.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, C_out, H', W') of images (B, C, H, W)."""
        around = F.conv2d(x, self.kernels, padding=2)  # with one pixel beyond each border
        around[:, :, 1:-1, 1:-1] = 0
        out: Tensor = self.conv(x) - self.border(around)
        return out


def _padding(conv: nn.Conv2d) -> int:
    """Zeros on each side of the map; our first convolutions are square."""
    return int(conv.padding[0])


def _gray_kernels(sobel: Sobel) -> Tensor:
    """Grey value and Sobel kernels in one: fp64 (2, C, 3, 3)."""
    return sobel.kernels.double() * sobel.gray.double()


def _plain(sobel: Sobel, conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution (C_out, C, k+2, k+2) of images, as if gradients went on past the border."""
    kernels = _gray_kernels(sobel)
    # y(p) = sum_q w(q) sum_r s(r) x(p + q + r): the weights of x are w convolved with s
    with torch.no_grad():
        weight = F.conv_transpose2d(conv.weight.double(), kernels)
    folded = nn.Conv2d(
        sobel.in_channels,
        conv.out_channels,
        (weight.shape[2], weight.shape[3]),
        int(conv.stride[0]),
        _padding(conv) + 1,
        bias=conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        folded.weight.copy_(weight)
        if folded.bias is not None and conv.bias is not None:
            folded.bias.copy_(conv.bias)
    return folded
