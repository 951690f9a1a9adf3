"""The 1,797 handwritten digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mmdeepcluster.datasets.base import ArrayImageDataset, check_split
from mmdeepcluster.registry import DATASETS

_FULL_INK = 16.0
# The images are ordered by writer: the last fifth is written by other hands than the rest.
_NUM_TRAIN = 1437


@DATASETS.register_module()
class Digits(ArrayImageDataset):
    """8x8 grey images of ten digits, the ink 0..16 scaled to 0..255.

    scikit-learn keeps them in the order in which they were written, so ``train``, the first 1,437,
    and ``test``, the last 360, hold different hands; neighbours of the same hand would make any
    features look good.

    Args:
        split: ``'train'``, ``'test'`` or ``'all'``, the 1,797. Defaults to ``'all'``.

    Raises:
        ValueError: another split is asked for.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test", "all")

    def __init__(self, split: str = "all") -> None:
        check_split(type(self), split)
        from sklearn.datasets import load_digits  # takes most of a second, so not for every program

        bundle = load_digits()
        images = np.rint(bundle.images * (255.0 / _FULL_INK)).astype(np.uint8)
        names = tuple(str(name) for name in bundle.target_names)
        part = {"train": slice(_NUM_TRAIN), "test": slice(_NUM_TRAIN, None), "all": slice(None)}
        labels = np.asarray(bundle.target)[part[split]]
        super().__init__(images[part[split]], split, labels, names)
