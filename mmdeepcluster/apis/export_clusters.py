"""Clusters as something to hand over: tables, folders, and a model for new images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.apis.cluster_model import ClusterModel
from mmdeepcluster.apis.cluster_tables import write_parquet
from mmdeepcluster.apis.cluster_tree import check_tree, write_tree
from mmdeepcluster.apis.image_pass import (
    check_out,
    finish_pass,
    open_loader,
    pass_identity,
    run_pass,
    said_by_main,
)
from mmdeepcluster.apis.pass_folder import ASSIGNMENT, PassFolder, RowSpec
from mmdeepcluster.apis.stable_ids import StableIds, first_ids, match_ids, read_previous
from mmdeepcluster.clustering import Assigner, RowShare
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import (
    ConfigError,
    FeatureSource,
    eval_loader,
    from_main,
    join_processes,
    load_algorithm,
    load_source,
    network_config,
    open_images,
    read_checkpoint,
    resolve_config,
    share_cores,
    write_left_out,
    write_table,
)
from mmdeepcluster.models import extract
from mmdeepcluster.version import __version__

_STEM = "clusters"
MODEL_FILE = "cluster_model.pth"
DEFAULT_MIN_OVERLAP = 0.5


def export_clusters(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path,
    images: str | Path | None = None,
    split: str | None = None,
    labels: bool = False,
    unreadable: str = "fail",
    previous: str | Path | None = None,
    min_overlap: float = DEFAULT_MIN_OVERLAP,
    links: bool = False,
    copy: bool = False,
    batch_size: int | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
    launcher: str = "none",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the cluster of every image, and a model that labels new ones.

    ``out`` gets ``clusters.csv`` (``index,path,label,cluster,distance,margin,stable_id``),
    the same as ``clusters.parquet`` where pyarrow is installed, ``clusters.npy`` (cluster,
    distance and margin by field), ``clusters.json`` (sizes, ids) and ``cluster_model.pth``
    (:class:`ClusterModel`). An interrupted call is continued by the same call.

    The rule is the assigner of the checkpoint. One of a training that has not ended has none yet;
    it is fitted then on the images of the training, as at its end.

    Args:
        config: Config file or config of a training.
        checkpoint: Checkpoint of that training.
        out: Folder for the results.
        images: As for :func:`extract_features`. Defaults to the data set of the config.
        split: As there.
        labels: As there.
        unreadable: As there.
        previous: ``clusters.csv`` or ``.parquet`` of an earlier export, whose stable ids live on
            in the clusters that hold the same images; without it they are the numbers.
        min_overlap: Part of the smaller of two clusters that must be in common for that.
        links: Also writes ``by_cluster/<stable id>/`` with a link to each image.
        copy: The same with copies, also of images that are no files.
        batch_size: Images at once. Defaults to the config's.
        num_workers: Data workers. Defaults to the config's.
        overwrite: Replaces what another call left in ``out``.
        launcher: What started this process, for several of them; see :func:`train`.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        ``csv``, ``parquet`` (or None), ``model``, ``tree`` (or None), ``num_images``,
        ``num_clusters``, ``num_matched``, ``num_new``.

    Raises:
        ConfigError: If the config, the checkpoint, the images, ``previous`` or ``out`` cannot be
            used.
    """
    if not 0.0 <= min_overlap <= 1.0:
        raise ConfigError(f"--min-overlap must be between 0 and 1, got {min_overlap}")
    folder = check_out(out)
    join_processes(config, launcher, options)
    share_cores()
    source = load_source(config, checkpoint, options=options)
    if source.assigner is None:
        source = replace(source, assigner=_fit_assigner(config, checkpoint, options))
    dataset = open_images(source.cfg, images, split=split, labels=labels, unreadable=unreadable)
    if links or copy:
        said_by_main(partial(check_tree, folder, dataset, copy, overwrite))
    loader = open_loader(source, dataset, batch_size, num_workers)
    portable_metadata(source)  # refuses what no file can hold before the pass
    source.model.to(get_device())
    earlier: list[tuple[NDArray[np.int64], int]] = []
    if previous is not None:
        said_by_main(lambda: earlier.append(read_previous(previous, dataset)))
    identity = pass_identity(source, dataset) | _identity_of_ids(earlier, min_overlap)
    files = {f"{_STEM}.npy": RowSpec(None, (), ASSIGNMENT)}
    target = PassFolder(folder, _STEM, identity, files, len(dataset))
    run_pass(source, loader, target, overwrite)
    written: dict[str, Any] = {}

    def write() -> dict[str, Any]:
        rows = np.load(target.partial(f"{_STEM}.npy"), mmap_mode="r", allow_pickle=False)
        found, details = _write_all(source, dataset, folder, rows, earlier, min_overlap)
        if links or copy:
            stable: NDArray[np.int64] = np.asarray(details["stable_ids"])[rows["cluster"]]
            found["tree"] = write_tree(folder, dataset, stable, copy)
        written.update(found)
        return details

    finish_pass(target, write)
    found: dict[str, Any] = from_main(written)
    return found


def export_model(
    config: str | Path | Config,
    checkpoint: str | Path,
    path: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
) -> ClusterModel:
    """Writes a model that labels new images, without looking at any.

    Sizes of the clusters are those at the end of the training, stable ids their numbers.

    Args:
        config: Config file or config of a training.
        checkpoint: Checkpoint of that training, with an assigner: of its end.
        path: The file.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        The model.

    Raises:
        ConfigError: If the config or the checkpoint cannot be used, or has no assigner.
    """
    source = load_source(config, checkpoint, options=options)
    if source.assigner is None:
        raise ConfigError(
            f"{checkpoint} has no assigner, its training has not ended: tools/export_clusters.py "
            "fits one on the images of the training"
        )
    number = source.assigner.num_clusters
    labels = (read_checkpoint(checkpoint).get("cluster_state") or {}).get("labels")
    counts = np.zeros(number, np.int64)
    if labels is not None:
        counts = torch.bincount(labels.long(), minlength=number).numpy()
    model = _cluster_model(source, counts, first_ids(number).ids)
    model.save(path)
    return model


def portable_metadata(source: FeatureSource) -> dict[str, Any]:
    """What a cluster model says of itself: enough to build its network on another machine.

    Raises:
        ConfigError: If the config holds classes or functions instead of names.
    """
    cfg = source.cfg
    kind: Any = cfg.model.type
    metadata = {
        "method": kind if isinstance(kind, str) else kind.__name__,
        "model": _without_start(network_config(cfg)),
        "eval_pipeline": [dict(step) for step in cfg.eval_pipeline],
        "batch_size": (cfg.get("eval_dataloader") or {}).get("batch_size", 64),
        "custom_imports": cfg.get("custom_imports"),
        "origin": source.origin,
        "mmdeepcluster": __version__,
    }
    try:
        found: dict[str, Any] = json.loads(json.dumps(metadata))
    except TypeError as error:
        raise ConfigError(
            f"model or eval_pipeline: {error}; a file holds names, so give classes by their name"
        ) from error
    return found


def _without_start(part: Any) -> Any:
    """A model config that does not look for weights to start from."""
    if isinstance(part, Mapping):
        kept = {key: _without_start(value) for key, value in part.items() if key != "init_cfg"}
        return kept | ({"pretrained": False} if "pretrained" in kept else {})
    return [_without_start(item) for item in part] if isinstance(part, (list, tuple)) else part


def _cluster_model(
    source: FeatureSource, counts: NDArray[np.int64], ids: NDArray[np.int64]
) -> ClusterModel:
    if source.assigner is None:
        raise ConfigError("there is no rule of the clusters")
    metadata = portable_metadata(source)
    return ClusterModel(source.model, source.assigner, metadata, counts, ids)


def _write_all(
    source: FeatureSource,
    dataset: BaseImageDataset,
    folder: Path,
    rows: NDArray[Any],
    earlier: list[tuple[NDArray[np.int64], int]],
    min_overlap: float,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes tables and model; returns what was written, and what the card shall say."""
    number = source.assigner.num_clusters if source.assigner is not None else 0
    clusters = np.ascontiguousarray(rows["cluster"])
    ids = first_ids(number)
    for previous, next_id in earlier:
        ids = match_ids(previous, clusters, number, next_id, min_overlap)
        _tell_ids(ids, number)
    columns = {name: rows[name] for name in ASSIGNMENT.names or ()}
    columns["stable_id"] = ids.ids[clusters]
    write_table(folder / f"{_STEM}.csv", dataset, columns)
    parquet = write_parquet(folder / f"{_STEM}.parquet", dataset, columns)
    write_left_out(folder / "unreadable.txt", dataset)
    counts = np.bincount(clusters, minlength=number)
    _cluster_model(source, counts, ids.ids).save(folder / MODEL_FILE)
    new = number - ids.num_matched if earlier else 0
    print_log(
        f"{len(dataset):,} images in {np.count_nonzero(counts)} of {number} clusters; written to "
        f"{folder}: clusters.csv, {'clusters.parquet, ' if parquet else ''}{MODEL_FILE}",
        "current",
    )
    found = {
        "csv": folder / f"{_STEM}.csv",
        "parquet": parquet,
        "model": folder / MODEL_FILE,
        "tree": None,
        "num_images": len(dataset),
        "num_clusters": number,
        "num_matched": ids.num_matched,
        "num_new": new,
    }
    details = {
        "origin": source.origin,
        "next_stable_id": ids.next_id,
        "num_matched": ids.num_matched,
        "stable_ids": ids.ids.tolist(),
        "sizes": counts.tolist(),
    }
    return found, details


def _identity_of_ids(
    earlier: list[tuple[NDArray[np.int64], int]], min_overlap: float
) -> dict[str, Any]:
    """What the stable ids of an export depend on."""
    if not earlier:
        return {"previous": "none"}
    ids, next_id = earlier[0]
    digest = hashlib.sha256(ids.tobytes()).hexdigest()
    return {"previous": f"{digest} {next_id}", "min_overlap": min_overlap}


def _tell_ids(ids: StableIds, number: int) -> None:
    print_log(
        f"stable ids: {ids.num_matched} of {number} clusters keep the id of an earlier one, "
        f"{number - ids.num_matched} are new, {ids.num_retired} earlier ids end "
        f"({ids.num_common:,} images in common)",
        "current",
    )


def _fit_assigner(
    config: str | Path | Config, checkpoint: str | Path, options: Mapping[str, Any] | None
) -> Assigner:
    """The rule of a training that has not ended, on its images; collective."""
    print_log(
        f"{checkpoint} has no assigner, its training has not ended: it is fitted on the images of "
        "the training",
        "current",
    )
    resolved = resolve_config(config, options)
    algorithm = load_algorithm(resolved, checkpoint).to(get_device())
    if not algorithm.initialized:
        raise ConfigError(f"{checkpoint} has no clusters yet: train on")
    share = RowShare.of_this_process(len(resolved.dataset))
    try:
        features = extract(algorithm, eval_loader(resolved, resolved.dataset), share=share)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    return algorithm.finalize(features["neck"], algorithm.labels(), share)
