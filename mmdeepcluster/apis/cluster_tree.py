"""A folder for each cluster with links to its images, to be looked through or labelled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import ConfigError

TREE = "by_cluster"


def check_tree(folder: Path, dataset: BaseImageDataset, copy: bool, overwrite: bool) -> None:
    """Refuses what :func:`write_tree` could not do, before anything expensive.

    Raises:
        ConfigError: If there is a tree already, or images that are no files shall be linked.
    """
    if (folder / TREE).exists() and not overwrite:
        raise ConfigError(f"{folder / TREE} exists: --overwrite replaces it")
    if not copy and dataset.file_path(0) is None:
        raise ConfigError(
            f"--links: the images of {type(dataset).__name__} are no files to link to; --copy "
            "writes them as PNG"
        )


def write_tree(folder: Path, dataset: BaseImageDataset, ids: NDArray[np.int64], copy: bool) -> Path:
    """Writes ``by_cluster/<id>/<index>_<name>``: a link to each image, or a copy.

    Args:
        folder: Where the tree goes; one that is there is replaced when the new one is complete.
        dataset: The images. Those that are no files are written as PNG.
        ids: Id of each image, int64 (N,).
        copy: Whether files are copied.

    Returns:
        The tree.
    """
    tree, growing = folder / TREE, folder / f".{TREE}.tmp"
    shutil.rmtree(growing, ignore_errors=True)
    digits = len(str(max(len(dataset) - 1, 0)))
    width = len(str(int(ids.max(initial=0))))
    made: set[int] = set()
    for index in range(len(dataset)):
        number = int(ids[index])
        place = growing / f"{number:0{width}d}"
        if number not in made:
            place.mkdir(parents=True)
            made.add(number)
        _put(dataset, index, place, f"{index:0{digits}d}_", copy)
    if tree.exists():
        shutil.rmtree(tree)
    growing.rename(tree)
    return tree


def _put(dataset: Any, index: int, place: Path, prefix: str, copy: bool) -> None:
    source = dataset.file_path(index)
    base = Path(dataset.sample_name(index)).name
    if source is None:
        dataset.load_image(index).save(place / f"{prefix}{base}.png")
    elif copy:
        shutil.copy2(source, place / f"{prefix}{base}")
    else:
        (place / f"{prefix}{base}").symlink_to(Path(source).absolute())
