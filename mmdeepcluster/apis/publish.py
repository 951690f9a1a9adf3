"""Weights of a training for other people: names of other libraries, ONNX, and a card beside."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmdeepcluster.engine import (
    ConfigError,
    TrainedNetwork,
    export_onnx,
    file_digest,
    load_trained,
    pointed_checkpoint,
    write_atomically,
)
from mmdeepcluster.engine.weights_in import METHOD, SAFETENSORS
from mmdeepcluster.models.weights import LIBRARIES, export_backbone
from mmdeepcluster.version import __version__

FORMATS = ("mmdeepcluster", *LIBRARIES, "safetensors", "onnx")
_DIGITS = 8


@dataclass(frozen=True)
class Published:
    """What was written.

    Attributes:
        weights: The file of weights, with the start of its sha256 in the name.
        card: The JSON file beside it.
        notes: What the person who uses it has to know.
    """

    weights: Path
    card: Path
    notes: tuple[str, ...]


def publish(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    file_format: str = "mmdeepcluster",
    num_classes: int | None = None,
    fold_sobel: bool = False,
    license_name: str | None = None,
) -> Published:
    """Writes the network of a training to a file that others can use, and a card beside it.

    Nothing of the training goes with it: no optimizer, no memory, no labels, no paths.

    Args:
        config: The config of the training.
        checkpoint: Its checkpoint.
        out: File to write; the start of its sha256 is put into the name. ``*.safetensors`` chooses
            that kind of file for names of any library.
        file_format: ``mmdeepcluster`` (backbone, neck and the rule of the clusters, for
            :func:`get_model` and ``load_from``), the backbone for ``torchvision`` or ``timm``,
            ``safetensors`` (as mmdeepcluster, in that kind of file), or ``onnx`` (images in,
            features and clusters out).
        num_classes: For torchvision and timm: adds a classifier of zeros, so that the plain
            network loads the file. Defaults to None.
        fold_sobel: For torchvision and timm: the first convolution takes the Sobel layer in.
        license_name: Licence of the weights, for the card.

    Raises:
        ConfigError: If config and checkpoint cannot be used, or the format cannot hold them.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"--format must be one of {', '.join(FORMATS)}, got {file_format!r}")
    if file_format not in LIBRARIES and (num_classes is not None or fold_sobel):
        raise ConfigError(
            f"--num-classes and --fold-sobel are for {' and '.join(LIBRARIES)}: --format "
            f"{file_format} keeps the network as it is"
        )
    network = load_trained(config, checkpoint)
    out = _suffixed(Path(out), file_format)
    out.parent.mkdir(parents=True, exist_ok=True)
    card = model_card(network, Path(checkpoint), license_name)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        if file_format == "onnx":
            card["input_shape"] = list(export_onnx(network, temporary))
            card["format"] = "onnx"
        else:
            weights, content = _content(network, card, file_format, num_classes, fold_sobel)
            card = content.pop("card")
            _write(temporary, out.suffix, weights, content, card)
        digest = file_digest(temporary)
        path = out.with_name(f"{out.stem}-{digest[:_DIGITS]}{out.suffix}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    card |= {"file": path.name, "sha256": digest}
    write_atomically(path.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return Published(path, path.with_suffix(".json"), tuple(card["notes"]))


def model_card(
    network: TrainedNetwork, checkpoint: Path, license_name: str | None = None
) -> dict[str, Any]:
    """What is known of a trained network, in plain values.

    Args:
        network: The network.
        checkpoint: Its file; the figures of ``report.json`` beside it are taken if it is the
            newest checkpoint there, whose figures they are.
        license_name: Licence of the weights.
    """
    cfg, identity = network.cfg, network.checkpoint["identity"]
    meta = network.checkpoint["meta"]
    metrics, notes = _metrics(checkpoint)
    dataset = cfg.get("dataset") or {}
    preprocessor = network.data_preprocessor
    kept = ("seed", "epoch", "iter", "world_size", "batch_size", "time")
    return {
        "method": network.method,
        "num_clusters": identity.get("num_clusters"),
        "feature_dim": identity.get("feature_dim"),
        "dataset": {
            "type": _dataset_name(dataset),
            "num_images": identity.get("num_samples"),
            "fingerprint": identity.get("dataset_fingerprint"),
        },
        "training": {key: meta[key] for key in kept if key in meta},
        "model": {key: _plain(cfg.model[key]) for key in ("backbone", "neck")},
        "input": {
            "mean": preprocessor.mean.flatten().tolist(),
            "std": preprocessor.std.flatten().tolist(),
            "units": "0..255, channels in the order RGB",
            "eval_pipeline": _plain(cfg.get("eval_pipeline") or []),
        },
        "metrics": metrics,
        "license": license_name,
        "source": checkpoint.name,
        "versions": {
            "mmdeepcluster": meta.get("mmdeepcluster_version", __version__),
            "torch": str(torch.__version__),
        },
        "notes": notes,
    }


def _content(
    network: TrainedNetwork,
    card: dict[str, Any],
    file_format: str,
    num_classes: int | None,
    fold_sobel: bool,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of the file, and what stands beside them in one of torch; there, too, the card."""
    if file_format in LIBRARIES:
        try:
            exported = export_backbone(network.backbone, file_format, num_classes, fold_sobel)
        except (ValueError, ImportError) as error:
            raise ConfigError(str(error)) from error
        notes = [*card["notes"], *exported.notes]
        card |= {"format": file_format, "architecture": exported.architecture, "notes": notes}
        return exported.weights, {"card": card}
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    rule = {} if network.assigner is None else network.assigner.state_dict()
    known = network.checkpoint
    kept = ("seed", "epoch", "iter", "mmdeepcluster_version")
    return weights, {
        "card": card | {"format": "mmdeepcluster"},
        "mmdeepcluster": known["identity"],
        "meta": {key: known["meta"][key] for key in kept if key in known["meta"]},
        "cluster_state": {f"assigner.{name}": value.clone() for name, value in rule.items()},
    }


def _write(
    path: Path,
    suffix: str,
    weights: dict[str, Tensor],
    content: dict[str, Any],
    card: Mapping[str, Any],
) -> None:
    """Writes weights, alone or with what stands beside them, as the suffix says."""
    if suffix != SAFETENSORS:
        # The state dict alone is what torchvision and timm read.
        write_atomically(path, {"state_dict": weights, **content} if content else weights)
        return
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ConfigError("*.safetensors needs safetensors: pip install safetensors") from error
    metadata = {"format": "pt", "card": json.dumps(card)}
    if content:
        metadata[METHOD] = str(card["method"])
    whole = {**weights, **content.get("cluster_state", {})}
    # Its save_file would make a file that nobody else may read.
    path.write_bytes(save({k: v.contiguous() for k, v in whole.items()}, metadata))


def _suffixed(out: Path, file_format: str) -> Path:
    """The file to write; its suffix says which kind it is."""
    if file_format in ("safetensors", "onnx"):
        return out.with_suffix(f".{file_format}")
    return out if out.suffix in (".pth", ".pt", SAFETENSORS) else out.with_name(f"{out.name}.pth")


def _metrics(checkpoint: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Figures of the report of the training, if it is of this checkpoint."""
    report = checkpoint.parent / "report.json"
    newest = pointed_checkpoint(checkpoint.parent)
    if not report.is_file() or newest is None:
        return None, []
    if newest.name != checkpoint.name:
        return None, [f"no figures: report.json is of {newest.name}"]
    return json.loads(report.read_text(encoding="utf-8")), []


def _dataset_name(dataset: Mapping[str, Any]) -> str:
    """Type of a data set, and of the one that it is a part of."""
    name = str(dataset.get("type", "unknown"))
    inner = dataset.get("dataset")
    split = f" ({dataset['split']})" if dataset.get("split") else ""
    return f"{name} of {_dataset_name(inner)}" if isinstance(inner, Mapping) else name + split


def _plain(value: Any) -> Any:
    """A part of a config in values that JSON knows."""
    return copy.deepcopy(json.loads(json.dumps(Config({"_": value}).to_dict()["_"], default=str)))
