"""Network and clusters as one ONNX file."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from mmdeepcluster.datasets import build_pipeline
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.engine.trained_network import TrainedNetwork
from mmdeepcluster.models import ClusterNetwork

_NEEDED = ("onnx", "onnxscript")
_OUTPUTS = ("features", "cluster", "distance")


def export_onnx(network: TrainedNetwork, path: str | Path) -> tuple[int, int, int]:
    """Writes normalisation, backbone, neck, projection and centroids as an ONNX graph.

    Its input ``images`` is (batch, C, H, W) in 0..1 with any batch, cropped and scaled as the
    ``eval_pipeline`` does; outputs are ``features`` (batch, D) and, where the training ended in
    an assigner, ``cluster`` int64 (batch,) and ``distance`` (batch,).

    Args:
        network: The network.
        path: The file.

    Returns:
        Shape (C, H, W) of an image.

    Raises:
        ConfigError: If onnx or onnxscript are not installed, or the pipeline is not known.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"an ONNX file needs {' and '.join(missing)}, not installed: pip install "
            f"{' '.join(missing)}"
        )
    shape = image_shape(network)
    module = ClusterNetwork(
        network.data_preprocessor, network.backbone, network.neck, network.assigner
    ).eval()
    names = _OUTPUTS if network.assigner is not None else _OUTPUTS[:1]
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), _quiet_exporter():
        torch.onnx.export(
            module,
            (torch.zeros(2, *shape),),
            str(path),
            input_names=["images"],
            output_names=list(names),
            dynamic_shapes={"images": {0: batch}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return shape


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Holds back what the exporter has to say of itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def image_shape(network: TrainedNetwork) -> tuple[int, int, int]:
    """Shape (C, H, W) of the images that the evaluation pipeline makes.

    Raises:
        ConfigError: If the config has no ``eval_pipeline``, or it cannot be used.
    """
    steps = network.cfg.get("eval_pipeline")
    if not steps:
        raise ConfigError("eval_pipeline: the config has none, the size of images is not known")
    try:
        image = build_pipeline(steps)(Image.new("RGB", (512, 512)))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"eval_pipeline: {' '.join(str(error).split())}") from error
    channels, height, width = image.shape
    return channels, height, width
