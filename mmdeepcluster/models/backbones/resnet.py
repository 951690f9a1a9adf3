"""Residual networks on torchvision's blocks, with all five stages addressable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torchvision.models import resnet as torchvision_resnet

from mmdeepcluster.models.backbones.base import ChainedBackbone
from mmdeepcluster.registry import BACKBONES

# depth: block and its number in each of the four groups
_ARCHITECTURES = {
    18: (torchvision_resnet.BasicBlock, [2, 2, 2, 2]),
    34: (torchvision_resnet.BasicBlock, [3, 4, 6, 3]),
    50: (torchvision_resnet.Bottleneck, [3, 4, 6, 3]),
    101: (torchvision_resnet.Bottleneck, [3, 4, 23, 3]),
}
_STEMS = ("imagenet", "small")
_NORM_TYPES = ("BN", "SyncBN", "GN")


@BACKBONES.register_module()
class ResNet(ChainedBackbone):
    """ResNet [0]; names of the weights are those of torchvision, so its files load.

    Five stages as the benchmarks of ODC [1] count them; for ResNet-50 at 224x224 pixels:
    ``feat1`` 64x112x112 (after conv, BN and ReLU, before the max-pool), ``feat2`` 256x56x56,
    ``feat3`` 512x28x28, ``feat4`` 1024x14x14, ``feat5`` 2048x7x7.

    - [0]: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    - [1]: Zhan et al., Online Deep Clustering, CVPR 2020, section 4.1.

    Args:
        depth: Layers: 18, 34, 50 or 101.
        in_channels: Channels of the images. Defaults to 3.
        stem: First layer: ``imagenet`` is 7x7 with stride 2 and max-pooling, ``small`` is 3x3
            with stride 1 and no max-pooling, for images of about 32x32. Defaults to "imagenet".
        out_indices: Stages to return, 0 (``feat1``) to 4 (``feat5``). Defaults to (4,).
        norm_cfg: Normalisation: ``dict(type='BN')``, ``dict(type='SyncBN')`` or
            ``dict(type='GN', num_groups=32)``, with further arguments of the layer. Defaults to
            None, batch normalisation.
        zero_init_residual: Starts every block as the identity. Defaults to False.
        sobel: Feeds image gradients to the first convolution, see
            :class:`~mmdeepcluster.models.backbones.layers.Sobel`. Defaults to False. Changes
            results.

    Raises:
        ValueError: For an unknown depth, stem or type of normalisation, or a stage that does
            not exist.
    """

    def __init__(
        self,
        depth: Literal[18, 34, 50, 101],
        in_channels: int = 3,
        stem: Literal["imagenet", "small"] = "imagenet",
        out_indices: Sequence[int] = (4,),
        norm_cfg: dict[str, Any] | None = None,
        zero_init_residual: bool = False,
        sobel: bool = False,
    ) -> None:
        if depth not in _ARCHITECTURES:
            raise ValueError(
                f"model.backbone.depth={depth} is none of {', '.join(map(str, _ARCHITECTURES))}"
            )
        if stem not in _STEMS:
            raise ValueError(f"model.backbone.stem={stem!r} is none of {', '.join(_STEMS)}")
        block, groups = _ARCHITECTURES[depth]
        widths = [64, *(width * block.expansion for width in (64, 128, 256, 512))]
        names = [f"feat{number}" for number in range(1, 6)]
        super().__init__(in_channels, dict(zip(names, widths, strict=True)), out_indices, sobel)
        network = torchvision_resnet.ResNet(
            block,
            groups,
            num_classes=1,  # its classifier is not used
            zero_init_residual=zero_init_residual,
            norm_layer=_norm_factory(norm_cfg or {"type": "BN"}),
        )
        small = stem == "small"
        self.conv1 = _first_conv(self.stem_channels) if small else network.conv1
        if self.stem_channels != 3 and not small:
            self.conv1 = _first_conv(self.stem_channels, kernel_size=7, stride=2)
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = nn.Identity() if small else network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4

    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the one before."""
        if index == 0:
            out: Tensor = self.relu(self.bn1(self.conv1(x)))
        elif index == 1:
            out = self.layer1(self.maxpool(x))
        else:
            out = getattr(self, f"layer{index}")(x)
        return out


def _first_conv(in_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Conv2d:
    """First convolution, initialised as torchvision does."""
    conv = nn.Conv2d(
        in_channels, 64, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _norm_factory(norm_cfg: dict[str, Any]) -> Callable[[int], nn.Module]:
    """Maker of normalisation layers for a number of channels."""
    kind = norm_cfg.get("type")
    if kind not in _NORM_TYPES:
        raise ValueError(
            f"model.backbone.norm_cfg.type={kind!r} is none of {', '.join(_NORM_TYPES)}"
        )
    if kind == "GN" and "num_groups" not in norm_cfg:
        raise ValueError(
            "model.backbone.norm_cfg.type='GN' needs the number of groups: set "
            "model.backbone.norm_cfg.num_groups, for example to 32"
        )

    def build(num_channels: int) -> nn.Module:
        layer: nn.Module = build_norm_layer(norm_cfg, num_channels)[1]
        return layer

    return build
