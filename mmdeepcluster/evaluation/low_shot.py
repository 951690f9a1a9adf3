"""Few labelled images per class: who is drawn, and how the cost is chosen (R65)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.evaluation.voc_labels import NEGATIVE, POSITIVE

SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)
SAMPLES = 5
NEGATIVES_PER_POSITIVE = 19
LOW_SHOT_PROTOCOLS = ("goyal", "holdout")


def low_shot_id(protocol: str, cost_list: str) -> str:
    """Name of the protocol.

    ``goyal`` picks the cost of each k by the mean AP of the *test* images, as the published
    benchmark does, which is optimistic; ``holdout`` by that of the training images that were not
    drawn, a cross-validation over the random samples.
    """
    return f"voc-low-shot-19neg-{protocol}-{cost_list}-apinterp"


def draw_low_shot(
    labels: NDArray[Any], k: int, seed: int, *, negatives: int | None = None
) -> NDArray[np.int64]:
    """Images of one class's low-shot training set: k positives and 19 k negatives.

    Difficult images are never drawn.

    Args:
        labels: 1, -1 or 0 of the class (N,).
        k: Positives.
        seed: Seed of the draw.
        negatives: Negatives. Defaults to ``19 k``.

    Returns:
        Ascending rows, int64 (20 k,).

    Raises:
        ValueError: If the class has not so many.
    """
    wanted = {POSITIVE: k, NEGATIVE: NEGATIVES_PER_POSITIVE * k if negatives is None else negatives}
    generator = np.random.default_rng(seed)
    drawn = []
    for value, number in wanted.items():
        rows = np.flatnonzero(np.asarray(labels) == value)
        if len(rows) < number or k < 1:
            kind = "positive" if value == POSITIVE else "negative"
            raise ValueError(
                f"k={k} needs {number} {kind} images of the class, there are {len(rows)}: "
                "choose a smaller k or leave the class out"
            )
        drawn.append(generator.choice(rows, number, replace=False))
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def read_low_shot_labels(folder: str | Path) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Reads the published draws, ``*sample<s>_k<k>*.npy`` with 1, 0 and -1 of shape (N, C).

    There 1 is a positive, 0 a negative and -1 an image that was not drawn.

    Returns:
        By (sample, k), both as in the name: the array.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If an array holds anything else.
    """
    found = {}
    for path in sorted(Path(folder).expanduser().glob("*.npy")):
        name = re.search(r"sample(\d+)_k(\d+)", path.stem)
        if name is None:
            continue
        values = np.load(path, allow_pickle=False)
        if values.ndim != 2 or not np.isin(values, (-1, 0, 1)).all():
            raise ValueError(f"{path} must hold 1, 0 and -1 of shape (N, C), got {values.shape}")
        found[int(name[1]), int(name[2])] = values.astype(np.int64)
    if not found:
        raise FileNotFoundError(f"{folder} has no file *sample<s>_k<k>*.npy")
    return found


@dataclass(frozen=True)
class LowShotScore:
    """Result for one number of positives.

    Attributes:
        k: Positives per class.
        cost: The cost that was picked.
        mean_ap: Mean over samples and classes on the test images, 0 to 1.
        std: Standard deviation over samples of the mean over classes.
        per_sample: Mean over classes of each sample.
    """

    k: int
    cost: float
    mean_ap: float
    std: float
    per_sample: tuple[float, ...]


def summarize_low_shot(
    k: int,
    costs: Sequence[float],
    test: NDArray[np.float64],
    rest: NDArray[np.float64],
    protocol: str = "goyal",
) -> LowShotScore:
    """Picks one cost for all classes and samples of a k and averages.

    Args:
        k: Positives per class.
        costs: Costs (L,).
        test: AP on the test images (samples, classes, L).
        rest: AP on the training images that were not drawn, of the same shape.
        protocol: ``goyal`` or ``holdout``, see :func:`low_shot_id`.

    Raises:
        ValueError: For another protocol, or shapes that do not fit.
    """
    if protocol not in LOW_SHOT_PROTOCOLS:
        raise ValueError(f"low-shot protocol must be one of {LOW_SHOT_PROTOCOLS}, got {protocol!r}")
    if test.shape != rest.shape or test.shape[2:] != (len(costs),):
        raise ValueError(
            f"AP must be (samples, classes, {len(costs)}), got {test.shape} and {rest.shape}"
        )
    judged = test if protocol == "goyal" else rest
    if np.isnan(judged).all(axis=(0, 1)).any():
        raise ValueError(f"k={k} leaves no positive image to pick the cost by: lower k")
    # A class all of whose positives were drawn has no AP on the rest.
    best = int(np.argmax(np.nanmean(judged, axis=(0, 1))))
    per_sample = test[:, :, best].mean(axis=1)
    return LowShotScore(
        k,
        costs[best],
        float(per_sample.mean()),
        float(per_sample.std()),
        tuple(per_sample.tolist()),
    )


def grand_mean(scores: Mapping[int, LowShotScore] | Sequence[LowShotScore]) -> float:
    """Mean over the numbers of positives, the figure that the papers quote."""
    values = scores.values() if isinstance(scores, Mapping) else scores
    return float(np.mean([score.mean_ap for score in values]))
