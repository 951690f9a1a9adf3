"""Any network of timm."""

from __future__ import annotations

import difflib

from torch import Tensor

from mmdeepcluster.models.backbones.base import BaseBackbone
from mmdeepcluster.registry import BACKBONES


@BACKBONES.register_module()
class TimmBackbone(BaseBackbone):
    """A network of timm by name, without its classifier; an optional extra.

    Its one stage is ``pooled``, the features (B, D) that timm's own classifier would take.

    Args:
        name: Name in timm, such as ``resnet18`` or ``vit_tiny_patch16_224``.
        in_channels: Channels of the images. Defaults to 3.
        pretrained: Whether timm fetches weights. Defaults to False.
        img_size: Size of the images for networks that must know it, such as ViTs. Defaults to
            None, the network's own.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such network, or it takes no ``img_size``.
    """

    stage_names = ("pooled",)
    out_indices = (0,)

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        pretrained: bool = False,
        img_size: int | None = None,
    ) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                "TimmBackbone needs timm: pip install mmdeepcluster[optional]"
            ) from error
        known = timm.list_models()
        if name.split(".")[0] not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()"
            raise ValueError(f"model.backbone.name: timm has no '{name}', {hint}")
        self.in_channels = in_channels
        size = {} if img_size is None else {"img_size": img_size}
        try:
            self.net = timm.create_model(
                name, pretrained=pretrained, in_chans=in_channels, num_classes=0, **size
            )
        except TypeError as error:
            raise ValueError(f"model.backbone.img_size: '{name}' does not take it") from error
        # some networks have a wider layer between pooling and classifier
        self.out_channels = int(getattr(self.net, "head_hidden_size", self.net.num_features))

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Pooled features (B, D)."""
        self.check_channels(images)
        return {"pooled": self.net(images)}
