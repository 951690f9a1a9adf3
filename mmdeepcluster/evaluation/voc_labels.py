"""Labels of a folder in the format of the PASCAL VOC challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

POSITIVE, DIFFICULT, NEGATIVE = 1, 0, -1


@dataclass(frozen=True)
class VocLabels:
    """Which classes each image shows; an image may show several.

    Attributes:
        ids: Names of the images without ending (N,).
        classes: Names of the classes (C,).
        labels: int8 (N, C) as in VOC's files: 1 shown, -1 not shown, 0 difficult.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int8]

    def counts(self) -> dict[str, int]:
        """Images that show each class."""
        return dict(zip(self.classes, (self.labels == POSITIVE).sum(axis=0).tolist(), strict=True))

    def only(self, classes: Sequence[str]) -> VocLabels:
        """The same images and fewer classes.

        Raises:
            ValueError: For a class that there is not.
        """
        unknown = sorted(set(classes) - set(self.classes))
        if unknown:
            raise ValueError(f"unknown classes {unknown}, there are {list(self.classes)}")
        columns = [self.classes.index(name) for name in classes]
        return VocLabels(self.ids, tuple(classes), self.labels[:, columns])


def read_voc_labels(root: str | Path, split: str) -> VocLabels:
    """Reads ``ImageSets/Main/<class>_<split>.txt`` of every class.

    A line is an image and 1 (shown), -1 (not shown) or 0 (every object of the class that is shown
    is marked difficult). The published label arrays of the SVM benchmarks rename these: there 0 is
    not shown and -1 is difficult, so R64's "difficult -1" is 0 here.

    Args:
        root: Folder that holds ``ImageSets`` and ``JPEGImages``.
        split: Name of the split: ``trainval``, ``test``, ...

    Returns:
        Images in the order of the files, classes in alphabetical order.

    Raises:
        FileNotFoundError: If there is no such folder, or no class has such a split; with the
            splits that there are.
        ValueError: If a line is malformed, or files name other images than the first.
    """
    folder = Path(root).expanduser() / "ImageSets" / "Main"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{str(root)!r} is not in VOC's format: there is no {folder}, which holds "
            "<class>_<split>.txt"
        )
    paths = sorted(folder.glob(f"*_{split}.txt"))
    if not paths:
        found = sorted({path.stem.rpartition("_")[2] for path in folder.glob("*_*.txt")})
        raise FileNotFoundError(f"{folder} has no split {split!r}, it has {found}")
    ids: list[str] = []
    columns: list[list[int]] = []
    for path in paths:
        names, values = _read(path)
        if not columns:
            ids = names
        elif names != ids:
            raise ValueError(f"{path} names other images than {paths[0].name}, or in another order")
        columns.append(values)
    classes = tuple(path.stem.removesuffix(f"_{split}") for path in paths)
    return VocLabels(tuple(ids), classes, np.array(columns, np.int8).T)


def voc_image_names(labels: VocLabels, root: str | Path) -> list[str]:
    """Path of each image below ``root``, of ``JPEGImages``.

    Raises:
        FileNotFoundError: If an image is missing; with the number and the first names.
    """
    folder = Path(root).expanduser() / "JPEGImages"
    missing = [name for name in labels.ids if not (folder / f"{name}.jpg").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of {len(labels.ids)} images, such as {missing[:3]}"
        )
    return [f"JPEGImages/{name}.jpg" for name in labels.ids]


def _read(path: Path) -> tuple[list[str], list[int]]:
    names, values = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("1", "-1", "0"):
            raise ValueError(
                f"{path}, line {number}: {line!r} is not an image followed by 1, -1 or 0"
            )
        names.append(fields[0])
        values.append(int(fields[1]))
    return names, values
