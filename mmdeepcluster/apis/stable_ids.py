"""Ids of clusters that outlive a training: the id of the cluster that held the same images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mmdeepcluster.clustering.matching import match_clusters
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import ConfigError

_UNKNOWN = -1


class StableIds(NamedTuple):
    """Ids of the clusters of an export.

    Attributes:
        ids: Stable id of each cluster, distinct, int64 (K,).
        next_id: The smallest id that was never given.
        num_matched: Clusters that took over the id of an earlier one.
        num_retired: Earlier ids that no cluster took over.
        num_common: Images that both exports know.
    """

    ids: NDArray[np.int64]
    next_id: int
    num_matched: int = 0
    num_retired: int = 0
    num_common: int = 0


def first_ids(num_clusters: int) -> StableIds:
    """Ids of an export that has none before it: the numbers of the clusters."""
    return StableIds(np.arange(num_clusters, dtype=np.int64), num_clusters)


def match_ids(
    previous: NDArray[np.int64],
    clusters: NDArray[np.int64],
    num_clusters: int,
    next_id: int,
    min_overlap: float,
) -> StableIds:
    """Takes over ids from an earlier clustering of the same images.

    The matching is one-to-one with the largest number of images in common. A pair keeps its id
    only if it shares at least ``min_overlap`` of the images of the smaller of the two, so that of
    a cluster that splits the larger part keeps the id, and a new cluster gets a new one.

    Args:
        previous: Earlier stable id of each image, -1 where it is not known, int64 (N,).
        clusters: Cluster of each image now, int64 (N,).
        num_clusters: K.
        next_id: The first id to be given to a new cluster.
        min_overlap: Between 0 and 1.
    """
    known = previous != _UNKNOWN
    olds, old = np.unique(previous[known], return_inverse=True)
    new = clusters[known]
    size = max(len(olds), num_clusters, 1)
    matched = match_clusters(torch.from_numpy(old), torch.from_numpy(new), size).numpy()
    pairs = matched[:num_clusters]
    shared = np.bincount(new[matched[new] == old], minlength=num_clusters)
    sizes = np.bincount(new, minlength=num_clusters)
    old_sizes = np.bincount(old, minlength=size)[pairs]
    keep = (shared > 0) & (shared >= min_overlap * np.minimum(sizes, old_sizes))
    next_id = max(next_id, int(olds.max(initial=-1)) + 1)
    ids = np.empty(num_clusters, np.int64)
    ids[keep] = olds[pairs[keep]]
    ids[~keep] = next_id + np.arange(int((~keep).sum()))
    number = int(keep.sum())
    return StableIds(
        ids, next_id + num_clusters - number, number, len(olds) - number, int(known.sum())
    )


def read_previous(path: str | Path, dataset: BaseImageDataset) -> tuple[NDArray[np.int64], int]:
    """Earlier stable ids of the images of a data set, by path.

    Args:
        path: ``clusters.csv`` or ``clusters.parquet`` of an export; also a ``samples.csv``, whose
            clusters are ids then. ``clusters.json`` beside it tells which ids were given before.
        dataset: The images.

    Returns:
        Ids int64 (N,), -1 for images that it does not know, and the first id to be given.

    Raises:
        ConfigError: If it is no such file, or knows none of the images.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"--previous {path} does not exist")
    found = np.full(len(dataset), _UNKNOWN, np.int64)
    # Of the same images in the same order no table is needed.
    rest: dict[str, int] = {}
    same, highest = True, -1
    for position, (name, number) in enumerate(_read(path)):
        highest = max(highest, number)
        same = same and position < len(dataset) and dataset.sample_name(position) == name
        if same:
            found[position] = number
        else:
            rest[name] = number
    if rest:
        for index in np.flatnonzero(found == _UNKNOWN).tolist():
            found[index] = rest.get(dataset.sample_name(index), _UNKNOWN)
    if not (found != _UNKNOWN).any():
        raise ConfigError(
            f"--previous {path} knows none of the {len(dataset)} images (here "
            f"'{dataset.sample_name(0)}'): give an export of the same images"
        )
    return found, max(highest + 1, _next_id(path))


def _read(path: Path) -> Iterator[tuple[str, int]]:
    """Paths and ids of an export."""
    rows: Iterable[dict[str, Any]]
    if path.suffix == ".parquet":
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise ConfigError(
                f"--previous {path} needs pyarrow: pip install pyarrow, or give clusters.csv"
            ) from error
        file = parquet.ParquetFile(path)
        rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
        yield from _pairs(path, rows)
        return
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        yield from _pairs(path, csv.DictReader(file))


def _pairs(path: Path, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    for row in rows:
        number = row.get("stable_id") or row.get("cluster")
        if isinstance(row.get("stable_id"), int):
            number = row["stable_id"]
        try:
            yield row["path"], int(number)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"--previous {path} needs the columns path and stable_id (or cluster), filled; it "
                f"has {list(row)}"
            ) from error


def _next_id(path: Path) -> int:
    card = path.with_name("clusters.json")
    try:
        return int(json.loads(card.read_text(encoding="utf-8"))["next_stable_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
