"""The 1,797 handwritten digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits

from mmdeepcluster.datasets.base import ArrayImageDataset, check_split
from mmdeepcluster.registry import DATASETS

_FULL_INK = 16.0


@DATASETS.register_module()
class Digits(ArrayImageDataset):
    """8x8 grey images of ten digits, the ink 0..16 scaled to 0..255.

    Args:
        split: only ``'train'``.

    Raises:
        ValueError: another split is asked for.
    """

    splits: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(self, split: str = "train") -> None:
        check_split(type(self), split)
        bundle = load_digits()
        images = np.rint(bundle.images * (255.0 / _FULL_INK)).astype(np.uint8)
        names = tuple(str(name) for name in bundle.target_names)
        super().__init__(images, split, np.asarray(bundle.target), names)
