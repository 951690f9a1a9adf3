"""Seeded parts of labelled data sets: a few classes of many, and long-tailed class sizes.

Labels choose the images and are otherwise for evaluation alone, as everywhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdeepcluster.datasets.base import BaseImageDataset
from mmdeepcluster.registry import DATASETS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


class LabelledPart(BaseImageDataset):
    """Some images of a labelled data set, in its order, their classes numbered anew from 0.

    Args:
        dataset: the data set, or its config.
        num_classes: number of classes to keep, chosen at random.
        seed: seed of every choice.
        split: for held-out images (``evaluation.test_split``): all images of the chosen classes
            in this other split of the data set. Defaults to None, the part itself.

    Attributes:
        indices: index of each image in the whole data set, int64 (n,), ascending.
        classes: its class there, by the class here.

    Raises:
        ValueError: the data set has no labels, or too few classes or images in a class.
    """

    def __init__(
        self,
        dataset: BaseImageDataset | Mapping[str, Any],
        num_classes: int,
        seed: int,
        split: str | None = None,
    ) -> None:
        whole = _build(dataset, split)
        labels = whole.eval_labels
        if labels is None:
            raise ValueError(
                f"{type(self).__name__}: {whole} has no known classes to choose by: give it labels "
                "(dataset.dataset.labels='folder' for a folder)"
            )
        known = np.unique(labels) if whole.class_names is None else len(whole.class_names)
        every = np.arange(known) if isinstance(known, int) else known
        if not 1 <= num_classes <= len(every):
            raise ValueError(
                f"dataset.num_classes={num_classes} must be from 1 to the {len(every)} classes of "
                f"{whole}"
            )
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(every)[:num_classes]
        self.whole, self.split = whole, whole.split
        self.classes: NDArray[np.int64] = np.sort(chosen).astype(np.int64)
        members = {int(label): np.flatnonzero(labels == label) for label in chosen}
        if split is None:
            members = self._draw(members, rng)
        self.indices = np.sort(np.concatenate(list(members.values()))).astype(np.int64)
        self.eval_labels = np.searchsorted(self.classes, labels[self.indices]).astype(np.int64)
        names = whole.class_names
        self.class_names = None if names is None else tuple(names[c] for c in self.classes)

    @abstractmethod
    def _draw(
        self, members: dict[int, NDArray[np.int64]], rng: np.random.Generator
    ) -> dict[int, NDArray[np.int64]]:
        """Chooses images of each class.

        Args:
            members: indices of all images of each class, the classes in random order.
            rng: source of every choice.
        """

    @property
    def num_unreadable(self) -> int:
        """Number of images of the whole data set that were left out."""
        return self.whole.num_unreadable

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of the images of the whole data set that were left out."""
        return self.whole.unreadable

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Name of each image that was left out, and what is wrong with it."""
        return self.whole.left_out()

    def __len__(self) -> int:
        return len(self.indices)

    def load_image(self, index: int) -> Image.Image:
        """Returns image ``index`` of the part."""
        return self.whole.load_image(int(self.indices[index]))

    def read_file(self, index: int) -> bytes | None:
        """The encoded image ``index`` of the part."""
        return self.whole.read_file(int(self.indices[index]))

    def image_array(self, indices: NDArray[np.int64] | None = None) -> NDArray[np.uint8] | None:
        """A copy of its images, where those of the whole data set are an array."""
        return self.whole.image_array(self.indices if indices is None else self.indices[indices])

    def sample_name(self, index: int) -> str:
        """Its name in the whole data set."""
        return self.whole.sample_name(int(self.indices[index]))

    def fingerprint_parts(self) -> Iterator[bytes]:
        """Yields the identity of the whole data set, then which images these are."""
        yield self.whole.fingerprint().encode()
        yield self.indices.tobytes()


@DATASETS.register_module()
class ClassSubset(LabelledPart):
    """A few random classes of a labelled data set, with a number of images in all (R52).

    Source: Zhan et al., Online Deep Clustering, CVPR 2020, section 4.2: 90,000 images of 300
    random classes of ImageNet.

    Args:
        dataset: the data set, or its config; it needs labels.
        num_classes: number of classes.
        num_images: number of images in all: as many of each class, or one more.
        seed: seed of classes and images. Defaults to 0.
        split: for held-out images: all images of the same classes in this other split. Defaults
            to None.

    Raises:
        ValueError: there are no labels, too few classes, or too few images in one of them.
    """

    def __init__(
        self,
        dataset: BaseImageDataset | Mapping[str, Any],
        num_classes: int,
        num_images: int,
        seed: int = 0,
        split: str | None = None,
    ) -> None:
        _check_num_images(num_images, num_classes)
        self._num_images = num_images
        super().__init__(dataset, num_classes, seed, split)

    def _draw(
        self, members: dict[int, NDArray[np.int64]], rng: np.random.Generator
    ) -> dict[int, NDArray[np.int64]]:
        each, rest = divmod(self._num_images, len(members))
        drawn = {}
        for number, (label, rows) in enumerate(members.items()):
            wanted = each + (number < rest)
            if len(rows) < wanted:
                raise ValueError(
                    f"class {_name(self.whole, label)} has {len(rows)} images, "
                    f"dataset.num_images={self._num_images} in dataset.num_classes={len(members)} "
                    f"classes takes {wanted} of it: lower dataset.num_images"
                )
            drawn[label] = rng.choice(rows, wanted, replace=False)
        return drawn


@DATASETS.register_module()
class LongTailSubset(LabelledPart):
    """A long-tailed part of a labelled data set: class sizes fall geometrically (R53).

    Class number c of C in a random order has ``n_c`` images in proportion to
    ``ratio ** (-c / (C - 1))``, rounded so that all sizes add up to ``num_images``. Where a class
    has too few images for its turn, it comes later, when there is one with enough.

    Source: Zhan et al., Online Deep Clustering, CVPR 2020, section 4.2: 100,000 images of 300
    classes, ratios from 1 to 64; the geometric profile is an assumption, the paper gives none.

    Args:
        dataset: the data set, or its config; it needs labels.
        num_classes: number of classes C.
        num_images: number of images in all.
        ratio: size of the largest class over that of the smallest one, at least 1.
        seed: seed of classes, their order, and images. Defaults to 0.
        split: for held-out images: all images of the same classes in this other split, which is
            not made long-tailed. Defaults to None.

    Raises:
        ValueError: there are no labels, too few classes, no class is large enough for its turn, or
            the smallest one would be empty.
    """

    def __init__(
        self,
        dataset: BaseImageDataset | Mapping[str, Any],
        num_classes: int,
        num_images: int,
        ratio: float,
        seed: int = 0,
        split: str | None = None,
    ) -> None:
        _check_num_images(num_images, num_classes)
        self._sizes = long_tail_sizes(num_classes, num_images, ratio)
        super().__init__(dataset, num_classes, seed, split)

    def _draw(
        self, members: dict[int, NDArray[np.int64]], rng: np.random.Generator
    ) -> dict[int, NDArray[np.int64]]:
        waiting, drawn = dict(members), {}
        for size in self._sizes.tolist():
            label = next((lab for lab, rows in waiting.items() if len(rows) >= size), None)
            if label is None:
                raise ValueError(self._too_large(size, waiting))
            drawn[label] = rng.choice(waiting.pop(label), size, replace=False)
        return drawn

    def _too_large(self, size: int, waiting: Mapping[int, NDArray[np.int64]]) -> str:
        label, rows = max(waiting.items(), key=lambda item: len(item[1]))
        total = int(self._sizes.sum())
        return (
            f"the long tail needs a class of {size} images, the largest that is left "
            f"({_name(self.whole, label)}) has {len(rows)}: lower dataset.ratio, or "
            f"dataset.num_images from {total} to about {total * len(rows) // size}"
        )


def long_tail_sizes(num_classes: int, num_images: int, ratio: float) -> NDArray[np.int64]:
    """Sizes (C,) of classes that fall geometrically and add up to ``num_images``.

    Raises:
        ValueError: ``ratio`` is below 1, not 1 for a single class, or a class would be empty.
    """
    if ratio < 1 or (num_classes == 1 and ratio != 1):
        raise ValueError(
            f"dataset.ratio must be at least 1, and 1 for a single class, got {ratio} for "
            f"{num_classes}"
        )
    shares = ratio ** -(np.arange(num_classes) / max(1, num_classes - 1))
    exact = num_images * shares / shares.sum()
    sizes = np.floor(exact).astype(np.int64)
    # what is left goes to the largest remainders, of equal ones to the larger class
    order = np.argsort(-(exact - sizes), kind="stable")
    sizes[order[: num_images - int(sizes.sum())]] += 1
    if sizes[-1] < 1:
        raise ValueError(
            f"dataset.ratio={ratio} leaves the smallest of {num_classes} classes without image: "
            f"raise dataset.num_images={num_images} or lower the ratio"
        )
    return np.sort(sizes)[::-1]


def _build(dataset: BaseImageDataset | Mapping[str, Any], split: str | None) -> BaseImageDataset:
    """The whole data set, or another split of it."""
    if split is not None:
        if not isinstance(dataset, Mapping):
            raise ValueError("dataset.split: another split needs dataset.dataset as a config")
        if dataset.get("split") == split:
            raise ValueError(
                f"dataset.split={split!r} is for held-out images, but is the split that the part "
                "is taken from: leave it out, dataset.dataset.split says it"
            )
        dataset = {**dataset, "split": split}
    if isinstance(dataset, BaseImageDataset):
        return dataset
    whole: BaseImageDataset = DATASETS.build(dict(dataset))
    return whole


def _check_num_images(num_images: int, num_classes: int) -> None:
    if num_images < num_classes:
        raise ValueError(
            f"dataset.num_images={num_images} is less than one image for each of "
            f"dataset.num_classes={num_classes}"
        )


def _name(whole: BaseImageDataset, label: int) -> str:
    return str(label) if whole.class_names is None else repr(whole.class_names[label])
