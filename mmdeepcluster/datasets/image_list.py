"""A text file that names images, one a line, of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdeepcluster.datasets.file_survey import FileSurvey
from mmdeepcluster.datasets.folder import check_folder
from mmdeepcluster.datasets.image_files import (
    NAMES_SHOWN,
    ImageFileDataset,
    check_policy,
    enumerate_names,
)
from mmdeepcluster.datasets.list_index import places_of
from mmdeepcluster.datasets.list_names import ListedNames
from mmdeepcluster.registry import DATASETS


@DATASETS.register_module()
class ImageList(ImageFileDataset):
    """The images that a list file names, in its order.

    Each line is a path, which may contain spaces. Blank lines and lines that start with ``#`` are
    passed over. A file may be named more than once; each line is a sample.

    No line is held in memory, so that a list may have a hundred million. At the first use an index
    of 8 bytes a line (16 with labels) is written beside the list file as
    ``.<name>.mmdeepcluster-index`` (with labels ``-labels-index``), or into the user's cache
    folder where that cannot be; later it is only mapped. It is written anew when the list has
    another size or time of change, and may be deleted. A list that changes during a run ends it
    with an error.

    What is found in the files is kept beside the index as ``.<name>.mmdeepcluster-findings``. A
    later start asks each file for its size and time of change, and decodes those alone that lie in
    a block of 4,096 lines in which one has changed.

    Where a process group is running, every rank builds the data set, and looks at a share of the
    files unless ``unreadable='trust'``.

    Args:
        list_file: UTF-8 text file.
        root: folder that relative paths start from. Defaults to '', the folder of the list file.
        labels: every line ends in a space and an integer, the known class of the image (for
            evaluation alone). Defaults to False.
        unreadable: what happens to files that are missing or cannot be decoded. ``'fail'``:
            every file is decoded before training, and one that cannot be is an error. ``'skip'``:
            the same, but such files are left out, counted and reported. ``'trust'``: no file is
            opened before it is used, for lists too long to decode first (a core decodes some
            hundred images a second); the first one that cannot be read ends the run with an error
            that names it. The fingerprint of a run asks for the sizes of all files under each
            policy, so a missing file is always found before training. Defaults to 'fail'.
        num_threads: threads that check the files. Defaults to None, the usable CPU cores.
        cache: ``dict(dir=..., shorter_side=256, quality=90)`` makes smaller copies of the images
            at the first start, which all later reading takes: several times as fast with large
            photographs. It changes results. Defaults to None, no copies.

    Raises:
        FileNotFoundError: there is no such list file or root, or images are missing and
            ``unreadable='fail'``.
        OSError: the list changes while it is read, or no folder takes its index.
        ValueError: the list names no image, a line has no label though ``labels=True``, an option
            has an unknown value, or unreadable files (see ``unreadable``).
    """

    _names: ListedNames

    def __init__(
        self,
        list_file: str | Path,
        root: str | Path = "",
        labels: bool = False,
        unreadable: str = "fail",
        num_threads: int | None = None,
        cache: Mapping[str, Any] | None = None,
    ) -> None:
        check_policy(unreadable)
        path = Path(list_file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"no list file {str(path)!r}: set dataset.list_file")
        folder = check_folder(root) if str(root) else path.parent
        names = ListedNames(path, folder, labels)
        survey = None
        if unreadable != "trust":
            places = list(places_of(path, "findings"))
            survey = FileSurvey(folder, names, path, places, num_threads)
            missing = survey.find_missing()
            if missing and (unreadable == "fail" or len(missing) == len(names)):
                raise _absence(path, folder, names, missing, labels)
        super().__init__(folder, names, names.labels, None, unreadable, num_threads, cache, survey)

    def __getstate__(self) -> dict[str, Any]:
        return {name: v for name, v in super().__getstate__().items() if name != "eval_labels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.eval_labels = self._kept(self._names.labels)


def _absence(
    path: Path, folder: Path, names: ListedNames, missing: Sequence[int], labels: bool
) -> FileNotFoundError:
    """What to say of files that do not exist."""
    shown = [names[position] for position in missing[:NAMES_SHOWN]]
    hint = ""
    if not labels and shown[0].split()[-1].isdigit():
        hint = "; if the lines end in a label, set dataset.labels=True"
    remedy = "set dataset.root, or leave them out by dataset.unreadable='skip'"
    if len(missing) == len(names):
        remedy = "no image is left: set dataset.root"
    return FileNotFoundError(
        f"{len(missing)} of {len(names)} images of {str(path)!r} are not under {str(folder)!r}: "
        f"{enumerate_names(shown, len(missing))}; {remedy}{hint}"
    )
