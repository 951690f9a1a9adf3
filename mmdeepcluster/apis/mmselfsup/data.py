"""Images, pipelines and loaders of an mmselfsup config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmdeepcluster.apis.mmselfsup.source import Source

# Transforms whose options have the same meaning here, with the names that theirs may have.
_SAME = {
    "RandomResizedCrop": {"size": "size", "scale": "size", "crop_ratio_range": "scale",
                          "aspect_ratio_range": "ratio", "ratio": "ratio"},
    "RandomHorizontalFlip": {"p": "p"},
    "RandomFlip": {"prob": "p"},
    "RandomRotation": {"degrees": "degrees"},
    "ColorJitter": {key: key for key in ("brightness", "contrast", "saturation", "hue")},
    "RandomGrayscale": {"p": "p", "prob": "p"},
    "Resize": {"size": "size", "scale": "size"},
    "ResizeEdge": {"scale": "size"},
    "CenterCrop": {"size": "size", "crop_size": "size"},
}  # fmt: skip
_NAMES = {"RandomFlip": "RandomHorizontalFlip", "ResizeEdge": "Resize"}
_APPLY = {"RandomAppliedTrans": "p", "RandomApply": "prob"}
# What our data sets, pipelines and preprocessor do by themselves.
_DERIVED = ("LoadImageFromFile", "ToTensor", "PackSelfSupInputs", "PackInputs", "Collect")


def convert_data(source: Source, cfg: Config) -> None:
    """Writes data set, pipelines, loaders and normalisation."""
    new = source.get("train_dataloader") is not None
    loader = "train_dataloader" if new else "data"
    dataset = f"{loader}.dataset" if new else "data.train"
    _dataset(source, cfg, dataset, new)
    normalisation: dict[str, Any] = {}
    cfg.train_pipeline = _pipeline(source, f"{dataset}.pipeline", normalisation)
    hook = source.index_of("custom_hooks", "DeepClusterHook")
    extraction = None if hook is None else _extraction(source, hook)
    if extraction is not None:
        found = _pipeline(source, f"{extraction}.dataset.pipeline", normalisation)
        if len(found) > 2:
            cfg.eval_pipeline = found
        _extraction_loader(source, cfg, extraction)
    _normalisation(source, cfg, normalisation)
    batch = source.take(f"{loader}.samples_per_gpu", source.take(f"{loader}.imgs_per_gpu"))
    batch = source.take(f"{loader}.batch_size", batch)
    if batch is not None:
        cfg.train_dataloader.batch_size = batch
    workers = source.take(f"{loader}.workers_per_gpu", source.take(f"{loader}.num_workers"))
    if workers is not None:
        cfg.train_dataloader.num_workers = workers
    for name in ("pin_memory", "persistent_workers"):
        value = source.take(f"{loader}.{name}")
        if value is not None:
            cfg.train_dataloader[name] = value
    for name in ("sampler", "collate_fn", "drop_last", "replace"):
        reason = "its samples are dealt by OwnerSampler or UniformClusterSampler"
        source.leave(f"{loader}.{name}", reason)


def _dataset(source: Source, cfg: Config, path: str, new: bool) -> None:
    source.take(f"{path}.type")
    origin = path if new else f"{path}.data_source"
    kind = source.take(f"{origin}.type")
    root = source.take(f"{origin}.data_root", source.take(f"{origin}.root", "")) or ""
    prefix = source.take(f"{origin}.data_prefix", "")
    if isinstance(prefix, Mapping):
        prefix = prefix.get("img_path", "")
    listed = source.take(f"{origin}.ann_file", source.take(f"{origin}.list_file"))
    folder = _join(root, prefix or "") or cfg.dataset.root
    if listed:
        labelled = kind != "ImageList"
        cfg.dataset = {
            "type": "ImageList",
            "list_file": _join(root, listed),
            "root": folder,
            "labels": labelled,
        }
    else:
        cfg.dataset = {"type": "ImageFolder", "root": folder, "labels": "folder"}
    for name in ("memcached", "mclient_path"):
        source.leave(f"{origin}.{name}", "files are read as they are")


def _join(root: str, name: str) -> str:
    return name if not root or name.startswith("/") else f"{root.rstrip('/')}/{name}".rstrip("/")


def _extraction(source: Source, hook: str) -> str | None:
    """Path of the loader that features are extracted with."""
    for name in ("extract_dataloader", "extractor"):
        if source.get(f"{hook}.{name}") is not None:
            return f"{hook}.{name}"
    return None


def _extraction_loader(source: Source, cfg: Config, path: str) -> None:
    for name in ("imgs_per_gpu", "samples_per_gpu", "batch_size"):
        batch = source.take(f"{path}.{name}")
        if batch is not None:
            cfg.eval_dataloader.batch_size = batch
    for name in ("workers_per_gpu", "num_workers"):
        workers = source.take(f"{path}.{name}")
        if workers is not None:
            cfg.eval_dataloader.num_workers = workers
    dataset = source.get(f"{path}.dataset") or {}
    for name in dataset:
        source.take(f"{path}.dataset.{name}")  # the images of the training, a second time
    for name in ("sampler", "collate_fn", "persistent_workers", "pin_memory", "drop_last"):
        source.take(f"{path}.{name}")  # an evaluation in order


def _pipeline(source: Source, path: str, normalisation: dict[str, Any]) -> list[dict[str, Any]]:
    """Converts a list of transforms; mean and std go to ``normalisation``."""
    steps = [{"type": "RGB"}]
    for number, step in enumerate(source.get(path) or []):
        found = _transform(source, f"{path}.{number}", step, normalisation)
        if found is not None:
            steps.append(found)
    return [*steps, {"type": "PILToTensor"}]


def _transform(
    source: Source, path: str, step: Mapping[str, Any], normalisation: dict[str, Any]
) -> dict[str, Any] | None:
    kind = str(step.get("type")).split(".")[-1]
    if kind in _DERIVED:
        source.take(path)
        return None
    if kind == "Normalize":
        normalisation |= {key: list(source.take(f"{path}.{key}")) for key in ("mean", "std")}
        source.take(path)
        return None
    if kind in _APPLY:
        source.take(f"{path}.type")
        inner = [
            _transform(source, f"{path}.transforms.{number}", entry, normalisation)
            for number, entry in enumerate(step["transforms"])
        ]
        found = [entry for entry in inner if entry is not None]
        probability = source.take(f"{path}.{_APPLY[kind]}", 0.5)
        return {"type": "RandomApply", "transforms": found, "p": probability} if found else None
    if kind not in _SAME:
        return None  # its keys are reported
    source.take(f"{path}.type")
    names = dict(_SAME[kind])
    if kind == "RandomResizedCrop" and "size" in step:
        names["scale"] = "scale"  # the share of the area in 0.x, the size in mmcls
    options = {
        names[key]: source.take(f"{path}.{key}") for key in step if key in names and key != "type"
    }
    if kind == "ResizeEdge" and step.get("edge", "short") == "short":
        source.take(f"{path}.edge")
    if kind == "RandomFlip" and step.get("direction", "horizontal") == "horizontal":
        source.take(f"{path}.direction")
    size = options.get("size")
    if kind == "Resize" and isinstance(size, (list, tuple)) and list(size)[1:] == [-1]:
        options["size"] = size[0]  # the shorter edge
    return {"type": _NAMES.get(kind, kind), **options}


def _normalisation(source: Source, cfg: Config, found: Mapping[str, Any]) -> None:
    """Mean and std, in units of 0..255."""
    values = dict(found)
    for path in ("data_preprocessor", "model.data_preprocessor"):
        for key in ("mean", "std"):
            value = source.take(f"{path}.{key}")
            if value is not None:
                values[key] = list(value)
        # images are read as RGB
        for key in ("bgr_to_rgb", "to_rgb", "type"):
            source.take(f"{path}.{key}")
    if {"mean", "std"} <= values.keys():
        scale = 255.0 if max(values["std"]) <= 1 else 1.0
        cfg.data_preprocessor = {
            "type": "ImagePreprocessor",
            "mean": [round(scale * value, 6) for value in values["mean"]],
            "std": [round(scale * value, 6) for value in values["std"]],
        }
