"""A plain folder of images: nested or flat, no labels and no list file needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.image_files import ImageFileDataset
from mmdeepcluster.datasets.packed_strings import PackedStrings
from mmdeepcluster.datasets.pil_loading import IMAGE_EXTENSIONS
from mmdeepcluster.registry import DATASETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@DATASETS.register_module()
class ImageFolder(ImageFileDataset):
    """All images below a folder, sorted by relative path.

    An image is a file with any extension that Pillow reads, in lower or upper case. Files and
    folders whose name starts with a dot are passed over; linked folders are followed, except
    back into a folder that contains them. Where a process group is running, every rank builds the
    data set, and looks at a share of the files unless ``unreadable='trust'``.

    Args:
        root: the folder.
        labels: ``'folder'`` takes the first component of each relative path as the known class
            (for evaluation alone). Defaults to None, no known classes, whatever the folders are
            called.
        unreadable: what happens to files that cannot be decoded: ``'fail'``, ``'skip'`` (leave
            out, count and report), or ``'trust'`` (no file is opened before it is used, and the
            first one that cannot be read ends the run with an error that names it). Defaults to
            'fail'.
        num_threads: threads that check the files. Defaults to None, the usable CPU cores.
        cache: ``dict(dir=..., shorter_side=256, quality=90)`` makes smaller copies of the images
            at the first start, which all later reading takes: several times as fast with large
            photographs. It changes results. Defaults to None, no copies.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: ``root`` is a file, an option has an unknown value, ``labels='folder'`` with
            an image outside any subfolder, or unreadable files (see ``unreadable``).
    """

    def __init__(
        self,
        root: str | Path,
        labels: str | None = None,
        unreadable: str = "fail",
        num_threads: int | None = None,
        cache: Mapping[str, Any] | None = None,
    ) -> None:
        if labels not in (None, "folder"):
            raise ValueError(f"dataset.labels must be None or 'folder', got {labels!r}")
        folder = check_folder(root)
        names = _list_images(folder)
        known, class_names = _folder_labels(folder, names) if labels else (None, None)
        packed = PackedStrings(names)
        super().__init__(folder, packed, known, class_names, unreadable, num_threads, cache)


def check_folder(root: str | Path) -> Path:
    """Returns ``root`` as a path to an existing folder.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a folder.
    """
    folder = Path(root).expanduser()
    if not folder.exists():
        raise FileNotFoundError(
            f"no image folder {str(folder)!r}: set dataset.root (or data_root) to a folder"
        )
    if not folder.is_dir():
        raise ValueError(
            f"{str(folder)!r} is not a folder: set dataset.root (or data_root) to a folder of "
            f"images, or use dataset.type='ImageList' for a list file"
        )
    return folder


def _list_images(folder: Path) -> list[str]:
    """Relative POSIX paths of all images below a folder, sorted."""
    names, others = [], Counter[str]()
    skip = len(os.path.join(folder, ""))  # noqa: PTH118 (pathlib drops the trailing separator)
    for path in _walk(os.fspath(folder), frozenset()):
        extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 (ten times faster)
        if extension in IMAGE_EXTENSIONS:
            names.append(path[skip:].replace(os.sep, "/"))
        else:
            others[extension or "no extension"] += 1
    passed_over = ", ".join(f"{kind}: {count}" for kind, count in others.most_common(5))
    if not names:
        raise FileNotFoundError(
            f"no image in {str(folder)!r} (files there: {passed_over or 'none'}): set "
            f"dataset.root (or data_root) to a folder with images such as .jpg, .png or .webp"
        )
    if others:
        print_log(
            f"{str(folder)!r}: {len(names)} images; {others.total()} files are passed over, their "
            f"extension is none of an image ({passed_over})",
            logger="current",
        )
    return sorted(names)


def _walk(folder: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yields the visible files below a folder, following links but never in a circle."""
    status = os.stat(folder)  # noqa: PTH116
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder, is_file = False, False
            if is_folder:
                yield from _walk(entry.path, ancestors | {identity})
            elif is_file or entry.is_symlink():
                # A broken link is listed: it is found unreadable, not silently left out. Pipes
                # and sockets are not, since opening one would wait for ever.
                yield entry.path


def _folder_labels(folder: Path, names: list[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers the first path components in sorted order."""
    outside = [name for name in names if "/" not in name]
    if outside:
        raise ValueError(
            f"dataset.labels='folder' needs every image in a subfolder of {str(folder)!r}, but "
            f"{len(outside)} of {len(names)} are not, such as {outside[0]}: set "
            f"dataset.labels=None or sort them into one folder per class"
        )
    owners = [name.split("/", 1)[0] for name in names]
    classes, labels = np.unique(np.array(owners, dtype=object), return_inverse=True)
    return labels.astype(np.int64), tuple(classes)
