"""From a network to matrices on disk, once for all protocols."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdeepcluster.apis.image_pass import layer_widths
from mmdeepcluster.datasets import BaseImageDataset, ImageView, build_eval_loader
from mmdeepcluster.engine import ConfigError, state_digest, write_atomically
from mmdeepcluster.models import FeatureModel, extract

_SUMMARY = "features.json"


def cached_features(
    network: FeatureModel,
    view: ImageView,
    layers: Sequence[str],
    folder: str | Path,
    loader_options: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Features of every image, mapped from ``features_<layer>.npy`` in a folder.

    A layer that is there of the same network, images and pipeline is not computed again. All
    others are computed in one pass, in evaluation mode, and the network is proven unchanged by it.

    Args:
        network: The network.
        view: Images through the evaluation pipeline.
        layers: Layers as in :meth:`FeatureModel.extract`.
        folder: Where the matrices go.
        loader_options: Options of :func:`build_eval_loader`: ``batch_size``, ``num_workers``, ...

    Returns:
        By layer the rows (N, D_layer), fp32, mapped.

    Raises:
        ConfigError: For an unknown layer, or images that do not fit the network.
        RuntimeError: If the network changed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = state_digest(network.state_dict())
    source = {
        "network": digest,
        "images": view.dataset.fingerprint(),
        "pipeline": hashlib.sha256(repr(view.pipeline).encode()).hexdigest(),
    }
    done = _done(folder, source)
    wanted = [layer for layer in dict.fromkeys(layers) if layer not in done]
    if wanted:
        widths = layer_widths(network, wanted, view)
        gigabytes = len(view) * sum(widths.values()) * 4 / 1e9
        print_log(
            f"features of {len(view)} images, {sum(widths.values())} numbers each "
            f"({gigabytes:.2f} GB): {folder}",
            "current",
        )
        _write(network, view, widths, folder, loader_options)
        if state_digest(network.state_dict()) != digest:
            raise RuntimeError("the network changed while its features were extracted")
        text = json.dumps({**source, "layers": sorted({*done, *wanted})}, indent=2)
        write_atomically(folder / _SUMMARY, text)
    # Copy on write: torch wants arrays that it may write to.
    return {
        layer: torch.from_numpy(np.load(_path(folder, layer), mmap_mode="c")) for layer in layers
    }


def stage_shapes(network: FeatureModel, view: ImageView) -> dict[str, tuple[int, ...]]:
    """Shape (C, H, W) or (D,) of the output of every stage of the backbone, in order.

    Raises:
        ConfigError: If the images do not fit the network.
    """
    try:
        with torch.no_grad():
            found = network.backbone.forward_stages(network.blank_inputs(view.image_shape))
    except (ValueError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    return {name: tuple(value.shape[1:]) for name, value in found.items()}


def view_of(dataset: BaseImageDataset, pipeline: Any) -> ImageView:
    """A data set through an evaluation pipeline.

    Raises:
        ConfigError: If its first image cannot be read or does not fit the pipeline.
    """
    try:
        return ImageView(dataset, pipeline, name="eval_pipeline")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _path(folder: Path, layer: str) -> Path:
    return folder / f"features_{layer}.npy"


def _done(folder: Path, source: Mapping[str, str]) -> list[str]:
    """Layers that are there of this source."""
    path = folder / _SUMMARY
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if any(found.get(key) != value for key, value in source.items()):
        return []
    return [layer for layer in found["layers"] if _path(folder, layer).is_file()]


def _write(
    network: FeatureModel,
    view: ImageView,
    widths: Mapping[str, int],
    folder: Path,
    loader_options: Mapping[str, Any],
) -> None:
    arrays = {
        layer: np.lib.format.open_memmap(
            _path(folder, layer), mode="w+", dtype=np.float32, shape=(len(view), width)
        )
        for layer, width in widths.items()
    }
    # A summary of other features must not speak for files that are half written.
    (folder / _SUMMARY).unlink(missing_ok=True)
    loader = build_eval_loader(view, **loader_options)
    out = {layer: torch.from_numpy(array) for layer, array in arrays.items()}
    try:
        extract(network, loader, tuple(widths), out=out)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for array in arrays.values():
        array.flush()
