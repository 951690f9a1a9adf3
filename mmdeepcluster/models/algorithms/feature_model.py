"""From normalised images to named features: what every method, and a plain network, has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmdeepcluster.models.necks import POOLINGS, MapPooling, split_layer
from mmdeepcluster.registry import BACKBONES, MODELS, NECKS


@MODELS.register_module()
class FeatureModel(BaseModel):
    """A preprocessor, a backbone and perhaps a neck, whose layers are known by name.

    Algorithms are such models with a clustering; alone it is a network to be used: one of
    torchvision or timm, or that of a checkpoint without the state of its training.

    Args:
        backbone: Config of the backbone.
        neck: Config of the neck; its output is what is clustered. Defaults to None, no neck.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        # Built here: MMEngine would look for it under the default scope alone.
        preprocessor = None if data_preprocessor is None else MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.backbone = BACKBONES.build(backbone)
        self.neck: Any = None
        if neck is not None:
            self.neck = NECKS.build(dict(neck, in_channels=self.backbone.out_channels))

    def compile_backbone(self, **options: Any) -> None:
        """Lets ``torch.compile`` make one program of the backbone; names of weights stay.

        Only the backbone: what an algorithm does around it looks up labels and draws numbers, of
        which a compiler would have to be told.

        Args:
            **options: Those of ``torch.compile``.
        """
        self.backbone.compile(**options)

    def use_channels_last(self) -> None:
        """Keeps images and weights of convolutions with the channels as the innermost dimension."""
        self.backbone.to(memory_format=torch.channels_last)
        self.data_preprocessor.memory_format = torch.channels_last

    @property
    def layers(self) -> tuple[str, ...]:
        """Names that :meth:`extract` understands: neck, backbone, and the backbone's stages."""
        neck = () if self.neck is None else ("neck",)
        return (*neck, "backbone", *self.backbone.stage_names)

    @property
    def default_layer(self) -> str:
        """The layer whose features are clustered."""
        return self.layers[0]

    @property
    def feature_dim(self) -> int:
        """D, the width of the features that are clustered."""
        return int((self.backbone if self.neck is None else self.neck).out_channels)

    def forward(
        self, inputs: Tensor, sample_idx: Tensor | None = None, mode: str = "tensor"
    ) -> Any:
        """MMEngine's entry: the features (B, D) of normalised images (B, C, H, W).

        Raises:
            ValueError: For another mode than ``tensor``; there is nothing to train.
        """
        if mode != "tensor":
            raise ValueError(f"mode must be 'tensor', got {mode!r}")
        return self.extract(inputs, (self.default_layer,))[self.default_layer]

    def blank_inputs(self, image_shape: Sequence[int]) -> Tensor:
        """Inputs (2, C, H, W) of two blank images (C, H, W), to learn shapes from."""
        images = torch.zeros(2, *image_shape, dtype=torch.uint8)
        inputs: Tensor = self.data_preprocessor({"inputs": images})["inputs"]
        return inputs

    def check_layers(self, layers: Sequence[str]) -> None:
        """Refuses names that :meth:`extract` would not understand.

        Raises:
            ValueError: Naming them and those there are.
        """
        unknown = [name for name in layers if self._source(name)[0] not in self.layers]
        if unknown:
            raise ValueError(
                f"unknown layers {unknown}; this model has {list(self.layers)}, each also with "
                f"{POOLINGS} behind it"
            )

    def extract(self, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features of a batch by layer name.

        Args:
            inputs: Normalised images (B, C, H, W).
            layers: Names out of :attr:`layers`. Maps are averaged over positions; with ``.flat``
                behind the name (``relu_5.flat``) they are flattened, channel by channel, with
                ``.avg2`` after averages over 2x2 positions (any number; ``.avg6p3`` pads by 3
                first), and with ``.grid4`` after averages over 4x4 cells.

        Returns:
            One fp32 matrix (B, D_layer) for each name.

        Raises:
            ValueError: For an unknown name.
        """
        self.check_layers(layers)
        sources = {name: self._source(name)[0] for name in layers}
        outputs: dict[str, Tensor] = {}
        if any(source in self.backbone.stage_names for source in sources.values()):
            outputs |= self.backbone.forward_stages(inputs)
            last = outputs[self.backbone.stage_names[self.backbone.out_indices[-1]]]
        else:
            last = self.backbone(inputs)[-1]
        outputs["backbone"] = last
        if "neck" in sources.values():
            outputs["neck"] = self.neck(last)
        return {
            name: self._source(name)[1](outputs[source]).float() for name, source in sources.items()
        }

    def _source(self, name: str) -> tuple[str, MapPooling]:
        """The layer that a name means, and how its map is pooled."""
        return (name, MapPooling()) if name in self.layers else split_layer(name)
