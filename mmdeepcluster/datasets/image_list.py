"""A text file that names images, one a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdeepcluster.datasets.folder import check_folder
from mmdeepcluster.datasets.image_files import ImageFileDataset, enumerate_names
from mmdeepcluster.registry import DATASETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@DATASETS.register_module()
class ImageList(ImageFileDataset):
    """The images that a list file names, in its order.

    Each line is a path, which may contain spaces. Blank lines and lines that start with ``#`` are
    passed over. A file may be named more than once; each line is a sample.

    Args:
        list_file: UTF-8 text file.
        root: folder that relative paths start from. Defaults to '', the folder of the list file.
        labels: every line ends in a space and an integer, the known class of the image (for
            evaluation alone). Defaults to False.
        unreadable: what happens to files that are missing or cannot be decoded: ``'fail'`` or
            ``'skip'`` (leave out, count and report). Defaults to 'fail'.
        num_threads: threads that check the files. Defaults to None, the usable CPU cores.

    Raises:
        FileNotFoundError: there is no such list file or root, or images are missing and
            ``unreadable='fail'``.
        ValueError: the list names no image, a line has no label though ``labels=True``, or
            unreadable files (see ``unreadable``).
    """

    def __init__(
        self,
        list_file: str | Path,
        root: str | Path = "",
        labels: bool = False,
        unreadable: str = "fail",
        num_threads: int | None = None,
    ) -> None:
        path = Path(list_file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"no list file {str(path)!r}: set dataset.list_file")
        folder = check_folder(root) if str(root) else path.parent
        lines, known = _parse(path, labels)
        names = [_relative(name, folder) for name in lines]
        if unreadable == "fail":
            _check_present(path, folder, names, labels)
        super().__init__(folder, names, known, None, unreadable, num_threads)


def _parse(path: Path, labels: bool) -> tuple[list[str], NDArray[np.int64] | None]:
    """Reads names, and labels where lines end in them."""
    names, known = [], []
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    # Not str.splitlines(): it also breaks at characters that a file name may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if labels:
            name, label = _split_label(path, number, name)
            known.append(label)
        names.append(name)
    if not names:
        raise ValueError(f"the list file {str(path)!r} names no image: check dataset.list_file")
    return names, np.array(known, dtype=np.int64) if labels else None


def _split_label(path: Path, number: int, line: str) -> tuple[str, int]:
    name, _, token = line.replace("\t", " ").rpartition(" ")
    if not name.strip() or not (token.isascii() and token.isdigit()):
        raise ValueError(
            f"{str(path)!r}, line {number}: {line!r} does not end in a label (a space and an "
            f"integer from 0 on) though dataset.labels=True: correct it or set it to False"
        )
    return line[: len(name)].strip(), int(token)


def _relative(name: str, folder: Path) -> str:
    """Shortens an absolute path below the root, so that the fingerprint does not hold the root."""
    return name.removeprefix(os.path.join(folder, ""))  # noqa: PTH118


def _check_present(path: Path, folder: Path, names: list[str], labels: bool) -> None:
    missing = [name for name in names if not os.path.exists(os.path.join(folder, name))]  # noqa: PTH110, PTH118
    if not missing:
        return
    hint = ""
    if not labels and missing[0].split()[-1].isdigit():
        hint = "; if the lines end in a label, set dataset.labels=True"
    raise FileNotFoundError(
        f"{len(missing)} of {len(names)} images of {str(path)!r} are not under {str(folder)!r}: "
        f"{enumerate_names(missing, len(missing))}; set dataset.root, or leave them out by "
        f"dataset.unreadable='skip'{hint}"
    )
