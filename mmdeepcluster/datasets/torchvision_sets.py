"""The small data sets of torchvision, as indexed images with labels for evaluation only.

Nothing is downloaded unless ``download=True`` says so.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from mmengine.logging import print_log
from torchvision import datasets
from torchvision.datasets.utils import check_md5

from mmdeepcluster.datasets.base import ArrayImageDataset, check_split
from mmdeepcluster.registry import DATASETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TorchvisionDataset(ArrayImageDataset):
    """A data set of torchvision whose images are held in memory.

    Args:
        root: folder that torchvision's layout starts from.
        split: one of ``splits``. Defaults to 'train'.
        download: fetch the files into ``root`` if they are not there. Defaults to False.

    Raises:
        FileNotFoundError: the files are not under ``root``, or are not the official ones, and
            ``download`` is False.
        ValueError: the data set has no such split, or a file is damaged.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    source_type: ClassVar[Any]
    folder: ClassVar[str]

    def __init__(self, root: str | Path, split: str = "train", download: bool = False) -> None:
        check_split(type(self), split)
        place = Path(root).expanduser()
        try:
            source = self._open(place, split, download)
        except RuntimeError as error:
            if download:
                raise
            # torchvision says "not found or corrupted" also where the MD5 is not the official one.
            if "not found" in str(error):
                raise FileNotFoundError(self._missing(place, error)) from error
            raise ValueError(self._damaged(place, error)) from error
        except (
            AssertionError,
            EOFError,
            ValueError,
        ) as error:  # torchvision's reader of MNIST files
            raise ValueError(self._damaged(place, error)) from error
        labels = self._labels(source)
        names = getattr(source, "classes", None)
        super().__init__(
            self._pixels(source),
            split,
            labels,
            None if names is None else tuple(str(name) for name in names),
        )

    def _open(self, root: Path, split: str, download: bool) -> Any:
        """Builds torchvision's data set."""
        return self.source_type(str(root), train=split == "train", download=download)

    def _pixels(self, source: Any) -> NDArray[np.uint8]:
        """The images as (N, H, W) or (N, H, W, 3), as a view where that is possible."""
        return np.asarray(source.data)

    def _labels(self, source: Any) -> NDArray[np.int64] | None:
        return np.asarray(source.targets, dtype=np.int64)

    def _missing(self, root: Path, error: Exception) -> str:
        return (
            f"{type(self).__name__}: no complete data under {str(root / self.folder)!r} "
            f"(torchvision: {error}); set dataset.download=True to fetch it, put the official "
            f"files there, or set dataset.root={str(root)!r} to where they are"
        )

    def _damaged(self, root: Path, error: Exception) -> str:
        return (
            f"{type(self).__name__}: a file under {str(root / self.folder)!r} is damaged "
            f"({error!r}): delete it and set dataset.download=True, or put it there again"
        )


@DATASETS.register_module()
class MNIST(TorchvisionDataset):
    """MNIST: 60,000 train and 10,000 test images, 28x28 grey, 10 classes."""

    source_type = datasets.MNIST
    folder = "MNIST/raw"


@DATASETS.register_module()
class FashionMNIST(TorchvisionDataset):
    """Fashion-MNIST: 60,000 train and 10,000 test images, 28x28 grey, 10 classes."""

    source_type = datasets.FashionMNIST
    folder = "FashionMNIST/raw"


@DATASETS.register_module()
class CIFAR10(TorchvisionDataset):
    """CIFAR-10: 50,000 train and 10,000 test images, 32x32 RGB, 10 classes."""

    source_type = datasets.CIFAR10
    folder = datasets.CIFAR10.base_folder


@DATASETS.register_module()
class CIFAR100(TorchvisionDataset):
    """CIFAR-100: 50,000 train and 10,000 test images, 32x32 RGB, 100 classes."""

    source_type = datasets.CIFAR100
    folder = datasets.CIFAR100.base_folder


_SVHN_SIZES = {"train": 73_257, "test": 26_032, "extra": 531_131}


class _AnySVHN(datasets.SVHN):  # type: ignore[misc]
    """SVHN whose file may be any in the official layout, such as a subset."""

    def _check_integrity(self) -> bool:
        return Path(self.root, self.filename).is_file()


@DATASETS.register_module()
class SVHN(TorchvisionDataset):
    """SVHN cropped digits: 73,257 train, 26,032 test, 531,131 extra images, 32x32 RGB, 10 classes.

    Args:
        root: folder of ``<split>_32x32.mat``.
        split: one of ``splits``. Defaults to 'train'.
        download: fetch the file into ``root`` if it is not there. Defaults to False.
        check_integrity: accept the official file alone, by its MD5; False accepts any file in
            the official layout, such as a subset, and says in the log that it is another one.
            Defaults to True.

    Raises:
        FileNotFoundError: the file is not under ``root``, or is not the official one, and
            ``download`` is False.
        ValueError: the data set has no such split.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test", "extra")
    source_type = datasets.SVHN
    folder = ""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        download: bool = False,
        check_integrity: bool = True,
    ) -> None:
        self._check_integrity = check_integrity
        super().__init__(root, split, download)
        self.class_names = tuple(str(digit) for digit in range(10))
        if not check_integrity:
            self._name_other_file(Path(root).expanduser() / f"{split}_32x32.mat")

    def _name_other_file(self, path: Path) -> None:
        """Says where figures do not belong to the official file."""
        md5 = datasets.SVHN.split_list[self.split][2]
        if not check_md5(str(path), md5):
            print_log(
                f"SVHN: {str(path)!r} is not the official file of split {self.split!r} (MD5 {md5}):"
                f" {len(self):,} images instead of {_SVHN_SIZES[self.split]:,}",
                "current",
                logging.WARNING,
            )

    def _open(self, root: Path, split: str, download: bool) -> Any:
        source_type = datasets.SVHN if self._check_integrity else _AnySVHN
        # torchvision's download would replace a subset that is already there by the official file
        present = (root / f"{split}_32x32.mat").is_file()
        fetch = download and (self._check_integrity or not present)
        return source_type(str(root), split=split, download=fetch)

    def _pixels(self, source: Any) -> NDArray[np.uint8]:
        return np.asarray(source.data.transpose(0, 2, 3, 1))

    def _labels(self, source: Any) -> NDArray[np.int64] | None:
        return np.asarray(source.labels, dtype=np.int64)

    def _missing(self, root: Path, error: Exception) -> str:
        text = super()._missing(root, error)
        if not self._check_integrity:
            return text
        return f"{text}; a file there that is a subset needs dataset.check_integrity=False"


@DATASETS.register_module()
class STL10(TorchvisionDataset):
    """STL-10: 5,000 train, 8,000 test, 100,000 unlabeled images, 96x96 RGB, 10 classes.

    The splits with unlabeled images have no ``eval_labels``: torchvision's -1 is no class.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test", "unlabeled", "train+unlabeled")
    source_type = datasets.STL10
    folder = datasets.STL10.base_folder

    def _open(self, root: Path, split: str, download: bool) -> Any:
        return self.source_type(str(root), split=split, download=download)

    def _pixels(self, source: Any) -> NDArray[np.uint8]:
        return np.asarray(source.data.transpose(0, 2, 3, 1))

    def _labels(self, source: Any) -> NDArray[np.int64] | None:
        if "unlabeled" in source.split:
            return None
        return np.asarray(source.labels, dtype=np.int64)
