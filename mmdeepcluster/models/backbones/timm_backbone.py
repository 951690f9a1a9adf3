"""Any network of timm, an optional dependency."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

from torch import Tensor

from mmdeepcluster.models.backbones.base import Backbone, check_in_channels
from mmdeepcluster.registry import BACKBONES

_POOLED = "pooled"


@BACKBONES.register_module()
class TimmBackbone(Backbone):
    """A network of timm without its classifier, by timm's name.

    The last stage is ``pooled``, a vector per image pooled as that network was designed to be
    (class token, average, attention); it exists for every network of timm. The stages before are
    timm's own feature taps, as maps (B, C, H, W) and with timm's names (``layer1``, ``blocks.3``,
    ...), where the network has them.

    Args:
        name: Name in ``timm.list_models()``, with or without the tag of a set of weights:
            ``resnet18``, ``vit_tiny_patch16_224``, ``resnet18.a1_in1k``.
        in_channels: Channels of the images. Defaults to 3.
        pretrained: Starts from timm's weights, which are downloaded once. Defaults to False.
        img_size: Height and width in pixels of the images, for networks such as vision
            transformers that are built for one size. Defaults to None, the size in the name.
        out_indices: Stages to return. Defaults to (-1,), the pooled vector.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such network, no weights for it, the network takes no
            ``img_size``, or images are of another size than it takes.
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        pretrained: bool = False,
        img_size: int | None = None,
        out_indices: Sequence[int] = (-1,),
    ) -> None:
        timm = _import_timm()
        _check_name(timm, name, pretrained)
        check_in_channels(in_channels)  # before timm stumbles over it
        network = _create(timm, name, in_channels, pretrained, img_size)
        stages: dict[str, int] = {}
        if hasattr(network, "forward_intermediates"):
            stages = {tap["module"]: tap["num_chs"] for tap in network.feature_info}
        # some networks widen once more between the last map and the classifier
        width = getattr(network, "head_hidden_size", None) or network.num_features
        super().__init__(in_channels, {**stages, _POOLED: width}, out_indices)
        self.name = name
        # a module; annotated so because timm declares no common class with these methods
        self.model: Any = network

    def run_stages(self, x: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Outputs of the wanted stages, through timm's own taps."""
        last = len(self.stage_names) - 1
        try:
            if set(wanted) == {last}:
                return {last: self.model(x)}
            final, maps = self.model.forward_intermediates(x)
        except AssertionError as error:  # how timm refuses a size
            raise ValueError(
                f"model.backbone.name={self.name!r} does not take images of "
                f"{x.shape[2]}x{x.shape[3]} pixels ({error}): set model.backbone.img_size="
                f"{x.shape[2]}, or resize in train_pipeline and eval_pipeline"
            ) from error
        outputs = {index: maps[index] for index in wanted if index != last}
        if last in wanted:
            outputs[last] = self.model.forward_head(final)
        return outputs


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            "model.backbone.type='TimmBackbone' needs timm, which is not installed: run "
            "`pip install mmdeepcluster[optional]` or `pip install timm`"
        ) from error
    module: ModuleType = timm
    return module


def _check_name(timm: ModuleType, name: str, pretrained: bool) -> None:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
        raise ValueError(f"model.backbone.name={name!r} is no network of timm, {hint}")
    if not pretrained:
        return
    weights = timm.list_pretrained(f"{name.split('.')[0]}*")
    if name not in {full if "." in name else full.split(".")[0] for full in weights}:
        others = f", or model.backbone.name to one of {weights[:5]}" if weights else ""
        raise ValueError(
            f"model.backbone.pretrained=True, but timm has no weights for {name!r}: set "
            f"model.backbone.pretrained=False{others}"
        )


def _create(
    timm: ModuleType, name: str, in_channels: int, pretrained: bool, img_size: int | None
) -> Any:
    # only some networks know img_size, the others must not be given it
    options: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    try:
        return timm.create_model(
            name, pretrained=pretrained, num_classes=0, in_chans=in_channels, **options
        )
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        raise ValueError(
            f"model.backbone.img_size={img_size}, but {name!r} takes images of any size: leave "
            "model.backbone.img_size out"
        ) from error
