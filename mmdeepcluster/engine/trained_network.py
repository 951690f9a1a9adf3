"""The network of a training without its training: no data set, no memory, no head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmdeepcluster.clustering import Assigner
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.resolve_config import load_config
from mmdeepcluster.engine.runner import IDENTITY
from mmdeepcluster.engine.weights_in import read_weights
from mmdeepcluster.models import ImagePreprocessor, global_average_pool
from mmdeepcluster.models.algorithms.base import ASSIGNER_PREFIX
from mmdeepcluster.registry import BACKBONES, MODELS, NECKS, SCOPE


class TrainedNetwork(nn.Module):
    """Preprocessor, backbone and neck of a config.

    Args:
        cfg: A config with ``model``; nothing in it need be resolved.

    Attributes:
        cfg: The config.
        data_preprocessor: From images to inputs of the backbone.
        backbone: The backbone.
        neck: The neck; its output is what is clustered.
        assigner: Rule of the clusters, None where there is none.
        checkpoint: What the checkpoint says of the training, empty without one.

    Raises:
        ConfigError: If a component refuses its options.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        model = cfg.model.to_dict()
        preprocessor = model.get("data_preprocessor") or cfg.get("data_preprocessor")
        if preprocessor is None:
            raise ConfigError("data_preprocessor: the config has none, give mean and std")
        try:
            self.data_preprocessor: ImagePreprocessor = MODELS.build(dict(preprocessor))
            self.backbone: Any = BACKBONES.build(model["backbone"])
            self.neck = NECKS.build(dict(model["neck"], in_channels=self.backbone.out_channels))
        except (ValueError, TypeError, KeyError, ImportError) as error:
            raise ConfigError(" ".join(str(error).split())) from error
        self.cfg = cfg
        self.assigner: Assigner | None = None
        self.checkpoint: dict[str, Any] = {}

    @property
    def method(self) -> str:
        """Name of the method."""
        kind = self.cfg.model.type
        return kind if isinstance(kind, str) else str(kind.__name__)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D) that are clustered, fp32, of images (B, C, H, W).

        Images are uint8 (0..255) or floating point (0..1).
        """
        inputs = self.data_preprocessor({"inputs": images})["inputs"]
        features: Tensor = global_average_pool(self.neck(self.backbone(inputs)[-1])).float()
        return features


def build_network(config: str | Path | Config) -> TrainedNetwork:
    """Builds the network of a config with the weights that it starts from, in evaluation mode.

    Raises:
        ConfigError: If the config cannot be used.
    """
    cfg = load_config(config)
    init_default_scope(cfg.get("default_scope", SCOPE))
    return TrainedNetwork(cfg).eval()


def load_trained(config: str | Path | Config, checkpoint: str | Path) -> TrainedNetwork:
    """The network and the rule of the clusters of a training, or of a published file of ours.

    Raises:
        ConfigError: If config or file cannot be used, or do not belong together.
    """
    network = build_network(config)
    content = read_weights(checkpoint)
    identity = content.get(IDENTITY)
    if not isinstance(identity, dict) or "state_dict" not in content:
        raise ConfigError(
            f"{checkpoint} is not a checkpoint of mmdeepcluster; to take the backbone of a file of "
            "another project use load_weights"
        )
    method = network.method
    if identity.get("method", method) != method:
        raise ConfigError(f"{checkpoint} is of {identity['method']}, the config of {method}")
    own = network.state_dict()
    weights = {k: v for k, v in content["state_dict"].items() if k.startswith(("backbone", "neck"))}
    wrong = [
        name
        for name in sorted(own.keys() | weights.keys())
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    ]
    if wrong:
        raise ConfigError(
            f"{checkpoint} does not fit this config: {len(wrong)} weights differ, such as "
            f"{', '.join(wrong[:4])}"
        )
    network.load_state_dict(weights)
    prefixed = {**content.get("cluster_state", {}), **content["state_dict"]}
    state = {
        name.removeprefix(ASSIGNER_PREFIX): value
        for name, value in prefixed.items()
        if name.startswith(ASSIGNER_PREFIX)
    }
    network.assigner = Assigner.from_state_dict(state) if state else None
    network.checkpoint = {"identity": identity, "meta": content.get("meta", {})}
    return network
