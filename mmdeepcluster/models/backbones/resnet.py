"""ResNet on torchvision's modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from mmdeepcluster.models.backbones.base import BaseBackbone, check_out_indices
from mmdeepcluster.registry import BACKBONES

_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
}
_STEMS = ("imagenet", "small")


@BACKBONES.register_module()
class ResNet(BaseBackbone):
    """ResNet (He et al., arXiv 1512.03385) with the parameter names of torchvision (R21, R23).

    Stages are ``feat1`` (after the stem's ReLU, before max-pool) and ``feat2`` to ``feat5`` (after
    each group of blocks); for ResNet-50 and images of 224 they are 64x112^2, 256x56^2, 512x28^2,
    1024x14^2 and 2048x7^2.

    Args:
        depth: 18, 34, 50 or 101. Defaults to 50.
        in_channels: Channels of the images; 2 behind Sobel. Defaults to 3.
        stem: ``imagenet`` is a 7x7 convolution of stride 2 and max-pool; ``small``, for images of
            about 32x32, a 3x3 convolution of stride 1 without max-pool.
        out_indices: Stages to return, 0 to 4. Defaults to (4,).
        norm_cfg: Norm layers, such as ``dict(type='SyncBN')``. Defaults to batch norm.
        zero_init_residual: Whether blocks start as the identity. Defaults to False.
    """

    stage_names = ("feat1", "feat2", "feat3", "feat4", "feat5")

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        stem: str = "imagenet",
        out_indices: Sequence[int] = (4,),
        norm_cfg: dict[str, Any] | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if depth not in _DEPTHS:
            raise ValueError(f"model.backbone.depth must be one of {list(_DEPTHS)}, got {depth}")
        if stem not in _STEMS:
            raise ValueError(f"model.backbone.stem must be one of {_STEMS}, got {stem!r}")
        self.in_channels = in_channels
        self.out_indices = check_out_indices(out_indices, len(self.stage_names))
        block, layers = _DEPTHS[depth]
        norm = _norm_layer(norm_cfg or {"type": "BN"})
        net = TorchvisionResNet(
            block, layers, zero_init_residual=zero_init_residual, norm_layer=norm
        )
        if stem == "small":
            self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1, self.relu = net.bn1, net.relu
        self.maxpool = net.maxpool if stem == "imagenet" else nn.Identity()
        self.layer1, self.layer2 = net.layer1, net.layer2
        self.layer3, self.layer4 = net.layer3, net.layer4
        widths = (64, *(64 * 2**group * block.expansion for group in range(4)))
        self.out_channels = widths[self.out_indices[-1]]

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every stage by name, maps (B, C, H, W)."""
        self.check_channels(images)
        feat1 = self.relu(self.bn1(self.conv1(images)))
        feat2 = self.layer1(self.maxpool(feat1))
        feat3 = self.layer2(feat2)
        feat4 = self.layer3(feat3)
        outputs = (feat1, feat2, feat3, feat4, self.layer4(feat4))
        return dict(zip(self.stage_names, outputs, strict=True))


def _norm_layer(norm_cfg: dict[str, Any]) -> Callable[..., nn.Module]:
    """A constructor of norm layers of a given width, as torchvision wants it."""

    def build(num_features: int) -> nn.Module:
        layer: nn.Module = build_norm_layer(norm_cfg, num_features)[1]
        return layer

    return build
