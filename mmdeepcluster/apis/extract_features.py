"""Features of a data set into files, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmdeepcluster.apis.image_pass import (
    check_out,
    finish_pass,
    layer_widths,
    open_loader,
    output_file,
    pass_identity,
    run_pass,
)
from mmdeepcluster.apis.pass_folder import ASSIGNMENT, PassFolder, RowSpec
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import (
    ConfigError,
    FeatureSource,
    is_zoo_name,
    join_processes,
    load_source,
    open_images,
    share_cores,
    start_processes,
    write_left_out,
    write_table,
)

DTYPES = ("float32", "float16")
_STEM = "extraction"
_ASSIGNMENTS = f"{_STEM}.assignments.npy"


def extract_features(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    out: str | Path,
    images: str | Path | None = None,
    split: str | None = None,
    labels: bool = False,
    unreadable: str = "fail",
    layers: Sequence[str] = (),
    batch_size: int | None = None,
    num_workers: int | None = None,
    dtype: str = "float32",
    weights: str | Path | None = None,
    pretrained: bool = False,
    seed: int | None = None,
    overwrite: bool = False,
    launcher: str = "none",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the features of every image into ``.npy`` files, row i of image i (R2, R72).

    ``out`` gets ``features.npy`` (N, D), or ``features_<layer>.npy`` for each named layer, and
    ``samples.csv`` with ``index,path,label,cluster,distance,margin``: clusters by the assigner of
    the checkpoint, empty where there is none. Until all rows are there the files are called
    ``*.partial``; a call that was interrupted is continued by the same call, on any number of
    processes, to the same bytes. Every process writes its own rows; nothing is sent.

    Args:
        config: Config file or config of a training, ``torchvision/NAME`` or ``timm/NAME``.
        checkpoint: Checkpoint of that training. Without one, ``weights`` or ``pretrained`` the
            network is random, which is said.
        out: Folder for the results.
        images: Folder or list file. Defaults to None, the data set of the config.
        split: Another split of the config's data set.
        labels: With ``images``: whether folder names, or the numbers behind the names of a list,
            are known classes for the column ``label``.
        unreadable: With ``images``: ``fail``, ``skip`` (left out and listed in
            ``unreadable.txt``) or ``trust``, as ``dataset.unreadable``.
        layers: Layers such as ``neck``, ``backbone``, ``feat4``, ``feat4.flat``, ``feat4.avg2``.
            Defaults to what is clustered.
        batch_size: Images at once. Defaults to the config's.
        num_workers: Data workers. Defaults to the config's.
        dtype: ``float32`` or ``float16``.
        weights: File of another project whose backbone is taken, as ``load_weights`` does.
        pretrained: For a name: the weights of that zoo, downloaded once.
        seed: Seed of a random network. Defaults to the config's, or 0.
        overwrite: Replaces what another call left in ``out``.
        launcher: What started this process, for several of them; see :func:`train`.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        ``files`` by layer, ``samples``, ``num_images`` of the set, ``num_computed`` in this call,
        ``seconds`` and ``images_per_second`` of them.

    Raises:
        ConfigError: If the config, the weights, the images or ``out`` cannot be used, naming what
            there is to choose from.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    folder = check_out(out)
    if is_zoo_name(config):
        start_processes(launcher)
    else:
        join_processes(config, launcher, options)
    share_cores()
    source = load_source(
        config, checkpoint, weights=weights, pretrained=pretrained, seed=seed, options=options
    )
    wanted = tuple(dict.fromkeys(layers)) or (source.model.default_layer,)
    check_layer_names(source, wanted)
    dataset = open_images(source.cfg, images, split=split, labels=labels, unreadable=unreadable)
    loader = open_loader(source, dataset, batch_size, num_workers)
    source.model.to(get_device())
    view: Any = loader.dataset
    widths = layer_widths(source.model, wanted, view)
    files = {
        output_file(name) if layers else "features.npy": RowSpec(name, (width,), dtype)
        for name, width in widths.items()
    }
    kept = dict(files)
    if source.assigner is not None:
        files[_ASSIGNMENTS] = RowSpec(None, (), ASSIGNMENT, keep=False)
    identity = {**pass_identity(source, dataset), "layers": list(wanted), "dtype": dtype}
    target = PassFolder(folder, _STEM, identity, files, len(dataset))
    done = run_pass(source, loader, target, overwrite)
    if done is None:
        print_log(f"{folder} is complete already", "current")
    else:
        finish_pass(target, lambda: _write_samples(target, dataset, source))
        if is_main_process():
            _tell(done, folder, kept)
    found = done or {"num_images": 0, "seconds": 0.0, "images_per_second": 0.0}
    return {
        "files": {spec.layer: folder / name for name, spec in kept.items()},
        "samples": folder / "samples.csv",
        "num_computed": found.pop("num_images"),
        "num_images": len(dataset),
        **found,
    }


def check_layer_names(source: FeatureSource, layers: Sequence[str]) -> None:
    """Refuses unknown layers before any image is looked at.

    Raises:
        ConfigError: Naming those there are.
    """
    try:
        source.model.check_layers(layers)
    except ValueError as error:
        raise ConfigError(f"--layer: {error}") from error


def _write_samples(
    target: PassFolder, dataset: BaseImageDataset, source: FeatureSource
) -> dict[str, Any]:
    """Writes ``samples.csv`` and the list of images left out; says where the rows are from."""
    rows: dict[str, Any] = dict.fromkeys(ASSIGNMENT.names or ())
    if source.assigner is not None:
        table = np.load(target.partial(_ASSIGNMENTS), mmap_mode="r", allow_pickle=False)
        rows = {name: table[name] for name in rows}
    write_table(target.folder / "samples.csv", dataset, rows)
    write_left_out(target.folder / "unreadable.txt", dataset)
    return {"origin": source.origin, "torch": str(torch.__version__)}


def _tell(done: Mapping[str, Any], folder: Path, files: Mapping[str, RowSpec]) -> None:
    shapes = ", ".join(f"{name} ({spec.width[0]} wide)" for name, spec in files.items())
    print_log(
        f"{done['num_images']:,} images in {done['seconds']:.1f} s, "
        f"{done['images_per_second']:,.0f} images/s; written to {folder}: {shapes}, samples.csv",
        "current",
    )
