"""The network of a training as one module: images in, features out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.feature_source import FeatureSource, load_source
from mmdeepcluster.engine.runner import IDENTITY
from mmdeepcluster.models import global_average_pool


class TrainedNetwork(nn.Module):
    """Preprocessor, backbone and neck of a config, without a data set, a memory, or a head.

    Args:
        source: The network, how images are shown to it, and what is known of it.

    Attributes:
        cfg: The config.
        data_preprocessor: From images to inputs of the backbone.
        backbone: The backbone.
        neck: The neck; its output is what is clustered. None where there is none.
        assigner: Rule of the clusters, None where there is none.
        checkpoint: What the checkpoint says of the training, empty without one.

    Raises:
        ConfigError: If the config has no preprocessor.
    """

    def __init__(self, source: FeatureSource) -> None:
        super().__init__()
        model = source.model
        if not hasattr(model.data_preprocessor, "mean"):
            raise ConfigError("data_preprocessor: the config has none, give mean and std")
        self.data_preprocessor: Any = model.data_preprocessor
        self.backbone: Any = model.backbone
        self.neck: Any = model.neck
        self.cfg = source.cfg
        self.assigner = source.assigner
        self.checkpoint = source.checkpoint

    @property
    def method(self) -> str:
        """Name of the method."""
        kind = self.cfg.model.type
        return kind if isinstance(kind, str) else str(kind.__name__)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D) that are clustered, fp32, of images (B, C, H, W).

        Images are uint8 (0..255) or floating point (0..1).
        """
        features: Tensor = self.backbone(self.data_preprocessor({"inputs": images})["inputs"])[-1]
        if self.neck is not None:
            features = self.neck(features)
        return global_average_pool(features).float()


def build_network(config: str | Path | Config) -> TrainedNetwork:
    """Builds the network of a config with the weights that it starts from, in evaluation mode.

    Raises:
        ConfigError: If the config cannot be used.
    """
    return TrainedNetwork(load_source(config)).eval()


def load_trained(config: str | Path | Config, checkpoint: str | Path) -> TrainedNetwork:
    """The network and the rule of the clusters of a training, or of a published file of ours.

    Raises:
        ConfigError: If config or file cannot be used, or do not belong together.
    """
    source = load_source(config, checkpoint)
    if not isinstance(source.checkpoint.get("identity"), dict):
        raise ConfigError(
            f"{checkpoint} does not say what it is of ({IDENTITY}); to take the backbone of a file "
            "of another project use load_weights"
        )
    return TrainedNetwork(source).eval()
