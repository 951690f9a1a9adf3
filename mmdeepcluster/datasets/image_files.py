"""Images that are files: what the folder and the list file have in common.

Decides before training what happens to unreadable files, holds no Python object per image, and
fingerprints by relative path and size.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.datasets.chain_digest import Chain
from mmdeepcluster.datasets.file_check import BLOCK, check_files, deal
from mmdeepcluster.datasets.file_survey import BLOCKS_A_ROUND, FileSurvey, link_of, pack
from mmdeepcluster.datasets.pil_loading import find_defect, load_rgb
from mmdeepcluster.datasets.resized_cache import open_cache

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

UNREADABLE_POLICIES = ("fail", "skip", "trust")
NAMES_SHOWN = 5


class ImageFileDataset(BaseImageDataset):
    """Image files below a root, in a given order.

    Collective unless ``unreadable='trust'``: where a process group is running, every rank builds
    the data set, looks at a share of the files and learns what the others found.

    Args:
        root: folder that relative names start from.
        names: path of each image relative to ``root`` with ``/`` between its parts; an absolute
            path is taken as it is. Kept, not copied.
        labels: known class of each name, int64 of shape (len(names),), or None.
        class_names: name of each class, or None.
        unreadable: ``'fail'`` raises if any file cannot be decoded; ``'skip'`` leaves such files
            out, says so, and keeps their positions for :attr:`unreadable`; ``'trust'`` opens no
            file beforehand, and one that cannot be read raises when it is loaded.
        num_threads: threads of the check, None for the number of usable CPU cores.
        cache: options of a :class:`~mmdeepcluster.datasets.resized_cache.ResizedCache`, from which
            the images are read then. None reads the files themselves.
        survey: what is known of the files from an earlier start, once its missing files were
            looked for. None decodes all of them.

    Raises:
        RuntimeError: the ranks of a process group see different numbers of files.
        ValueError: a file cannot be decoded and ``unreadable='fail'``; no readable image is left;
            or ``unreadable`` is none of the three.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        labels: NDArray[np.int64] | None = None,
        class_names: tuple[str, ...] | None = None,
        unreadable: str = "fail",
        num_threads: int | None = None,
        cache: Mapping[str, Any] | None = None,
        survey: FileSurvey | None = None,
    ) -> None:
        check_policy(unreadable)
        self._cache = None if cache is None else open_cache(cache)
        self.root = root
        self._names = names
        self._policy = unreadable
        self._num_threads = num_threads
        self._left_out: NDArray[np.int64] = np.zeros(0, np.int64)
        self._reasons: Sequence[str] = ()
        # Parts of the fingerprint, by block of names.
        self._links: dict[int, Chain] = {}
        if unreadable != "trust":
            self._find_broken(survey)
        # Image i is name i + (number of names left out before it), found by bisection.
        self._shifts = self._left_out - np.arange(len(self._left_out))
        self.eval_labels = self._kept(labels)
        self.class_names = class_names
        if self._cache is not None:
            left_out = self._left_out.tolist()
            self._cache.prepare(names, partial(_join, root), left_out, num_threads)

    @property
    def num_unreadable(self) -> int:
        """Number of the files left out."""
        return len(self._left_out)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the files left out, in the order they would have had."""
        return tuple(self._names[position] for position in self._left_out.tolist())

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Name of each file left out, and what is wrong with it.

        Raises:
            RuntimeError: this is a copy of the data set, for a data worker, without reasons.
        """
        if len(self._reasons) != len(self._left_out):
            raise RuntimeError("a copy of a data set does not know why files were left out")
        for position, reason in zip(self._left_out.tolist(), self._reasons, strict=True):
            yield self._names[position], reason

    def __getstate__(self) -> dict[str, Any]:
        # Data workers get a copy; they need neither, and both grow with the data.
        return vars(self) | {"_reasons": (), "_links": {}}

    def __len__(self) -> int:
        return len(self._names) - len(self._left_out)

    def load_image(self, index: int) -> Image.Image:
        """Reads file ``index`` as RGB; see the base class.

        Raises:
            OSError: the file cannot be read and ``unreadable='trust'``; the message names it.
        """
        if self._cache is not None:
            return load_rgb(BytesIO(self._cache.read(self._position(index))))
        with self._named_if_trusted(index):
            return load_rgb(self.file_path(index))

    def read_file(self, index: int) -> bytes:
        """Bytes of file ``index``, or of its copy in the cache.

        Raises:
            OSError: as :meth:`load_image`.
        """
        if self._cache is not None:
            return self._cache.read(self._position(index))
        with self._named_if_trusted(index), open(self.file_path(index), "rb") as file:  # noqa: PTH123
            return file.read()

    @contextmanager
    def _named_if_trusted(self, index: int) -> Iterator[None]:
        """Says which file it is, and why nobody knew, if one cannot be read."""
        try:
            yield
        except Exception as error:
            if self._policy != "trust":
                raise
            raise OSError(
                f"{self.file_path(index)!r} cannot be read ({type(error).__name__}: {error}), and "
                f"dataset.unreadable='trust' had no file checked beforehand: repair it, or have "
                f"all of them found before training by 'fail' or left out by 'skip'"
            ) from error

    def sample_name(self, index: int) -> str:
        """Path relative to the root."""
        return self._names[self._position(index)]

    def _position(self, index: int) -> int:
        """Which of the names, with those left out, an image has."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} is outside [0, {len(self)})")
        return index + int(np.searchsorted(self._shifts, index, "right"))

    def file_path(self, index: int) -> str:
        """The file, below the root as that was given."""
        return _join(self.root, self.sample_name(index))

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields a digest of relative paths and sizes; reading all contents takes hours.

        Collective: each rank asks for the sizes of a share of the files.

        Raises:
            FileNotFoundError: a file does not exist (any more), on every rank alike.
        """
        count = -(-len(self._names) // BLOCK)
        unknown = [block for block in range(count) if block not in self._links]
        found = deal(
            len(unknown), lambda i: self._link(unknown[i]), self._num_threads, BLOCKS_A_ROUND
        )
        links, problem = dict(self._links), None
        for block, (link, reason) in zip(unknown, found, strict=True):
            links[block] = link
            problem = problem or reason
        if problem is not None:
            raise FileNotFoundError(problem)
        total = Chain()
        for block in range(count):
            total = total.then(links[block])
        yield total.to_bytes()

    def _link(self, block: int) -> tuple[Chain, str | None]:
        """Part of the fingerprint, and what is wrong if a file does not exist."""
        start = block * BLOCK
        names = list(self._names[start : start + BLOCK])
        low, high = np.searchsorted(self._left_out, (start, start + BLOCK))
        for position in reversed(self._left_out[low:high].tolist()):
            del names[position - start]
        try:
            return link_of((name, os.stat(_join(self.root, name)).st_size) for name in names), None  # noqa: PTH116
        except FileNotFoundError as error:
            return Chain(), (
                f"image {error.filename!r} does not exist: restore it, or leave missing images out "
                f"by dataset.unreadable='skip'"
            )

    def _kept(self, labels: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Labels of the images that are not left out."""
        if labels is None or not len(self._left_out):
            return labels
        return np.delete(labels, self._left_out)

    def _find_broken(self, survey: FileSurvey | None) -> None:
        """Decodes the files and leaves out those that cannot be read, as the policy says."""

        def defect(name: str) -> str | None:
            return find_defect(_join(self.root, name))

        if survey is None:
            findings = pack((), list(check_files(self._names, defect, self._num_threads)))
        else:
            findings = survey.find_defects(defect)
            self._links = survey.links
        broken, self._left_out = findings.positions, findings.positions
        self._reasons = findings.reasons
        if not len(broken):
            return
        examples = [
            f"{self._names[int(broken[i])]} ({findings.reasons[i]})"
            for i in range(min(len(broken), NAMES_SHOWN))
        ]
        text = (
            f"{type(self).__name__}: {len(broken)} of {len(self._names)} images under "
            f"{str(self.root)!r} cannot be read: {enumerate_names(examples, len(broken))}"
        )
        if len(broken) == len(self._names):
            raise ValueError(f"{text}; no image is left: check dataset.root (or data_root)")
        if self._policy == "fail":
            raise ValueError(f"{text}; repair them or leave them out by dataset.unreadable='skip'")
        print_log(f"{text}; they are left out", logger="current", level=logging.WARNING)


def check_policy(unreadable: str) -> None:
    """Refuses an unknown value of ``dataset.unreadable``.

    Raises:
        ValueError: it is none of those there are.
    """
    if unreadable not in UNREADABLE_POLICIES:
        raise ValueError(
            f"dataset.unreadable must be 'fail', 'skip' or 'trust', got {unreadable!r}"
        )


def _join(root: Path, name: str) -> str:
    # One C-level call a name: pathlib takes several microseconds, a minute for 10 million names.
    return os.path.join(root, name)  # noqa: PTH118


def enumerate_names(names: Sequence[str], count: int) -> str:
    """Joins the first names of a list of ``count`` for a message."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if count <= NAMES_SHOWN else f"{shown}, ..."
