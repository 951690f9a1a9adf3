"""Support vector machines on few positives per class, in parallel (R65)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.apis.svm_tasks import (
    Ledger,
    array_digest,
    checked_rows,
    costs_of,
    digest_of,
)
from mmdeepcluster.engine import ConfigError, derive_seed
from mmdeepcluster.evaluation import (
    SAMPLES,
    SHOTS,
    LowShotScore,
    VocLabels,
    draw_low_shot,
    grand_mean,
    low_shot_id,
    summarize_low_shot,
)
from mmdeepcluster.evaluation.svm_rows import Key, low_shot_row


@dataclass(frozen=True)
class LowShotResult:
    """Result of :func:`voc_low_shot`.

    Attributes:
        protocol: Its id.
        scores: One for each number of positives.
        grand_mean: Their mean.
    """

    protocol: str
    scores: tuple[LowShotScore, ...]
    grand_mean: float


def voc_low_shot(
    features: NDArray[Any],
    labels: VocLabels,
    test_features: NDArray[Any],
    test_labels: VocLabels,
    *,
    shots: Sequence[int] = SHOTS,
    samples: int = SAMPLES,
    protocol: str = "goyal",
    cost_list: str = "openselfsup",
    drawn: Mapping[tuple[int, int], NDArray[np.int64]] | None = None,
    seed: int = 0,
    num_workers: int = 1,
    results: str | Path | None = None,
) -> LowShotResult:
    """Linear SVMs on k positives and 19 k negatives per class (R65).

    Args:
        features: Features (N, D) of the training images, not normalised.
        labels: Their classes.
        test_features: Features (M, D).
        test_labels: Their classes, the same ones.
        shots: Values of k.
        samples: Draws for each k.
        protocol: How the cost is picked, see
            :func:`~mmdeepcluster.evaluation.low_shot.low_shot_id`. Both need the same fits.
        cost_list: Name in ``COST_LISTS``.
        drawn: Published draws, see :func:`~mmdeepcluster.evaluation.read_low_shot_labels`, whose
            samples are taken in ascending order. Defaults to None, seeded draws.
        seed: Seed of the draws.
        num_workers: Processes; the result is the same for any number.
        results: As in ``voc_svm``; one line for each k, draw and class.

    Returns:
        The figures.

    Raises:
        ConfigError: As ``voc_svm``, or if a class has too few images.
    """
    rows, test_rows = checked_rows(features, labels, test_features, test_labels)
    costs = costs_of(cost_list)
    ledger = Ledger(results, digest_of(rows, labels, test_rows, test_labels), num_workers)
    chosen = {
        (k, sample, column): _draw(labels, column, k, sample, seed, drawn)
        for k in shots
        for sample in range(samples)
        for column in range(len(labels.classes))
    }
    # A draw is part of the key: another seed or other files are other tasks.
    keys: dict[tuple[int, int, int], Key] = {
        place: ("low-shot", cost_list, *place, array_digest(*parts))
        for place, parts in chosen.items()
    }
    found = ledger.run(
        {
            keys[place]: (
                low_shot_row,
                rows,
                labels.labels[:, place[2]],
                *parts,
                test_rows,
                test_labels.labels[:, place[2]],
                costs,
            )
            for place, parts in chosen.items()
        }
    )

    def table(name: str, k: int) -> NDArray[np.float64]:
        return np.array(
            [
                [found[keys[k, s, c]][name] for c in range(len(labels.classes))]
                for s in range(samples)
            ],
            np.float64,
        )

    try:
        scores = tuple(
            summarize_low_shot(k, costs, table("test", k), table("rest", k), protocol)
            for k in shots
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return LowShotResult(low_shot_id(protocol, cost_list), scores, grand_mean(scores))


def _draw(
    labels: VocLabels,
    column: int,
    k: int,
    sample: int,
    seed: int,
    drawn: Mapping[tuple[int, int], NDArray[np.int64]] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are drawn and their labels."""
    values = labels.labels[:, column]
    if drawn is None:
        try:
            rows = draw_low_shot(values, k, derive_seed(seed, "low shot", column, k, sample))
        except ValueError as error:
            raise ConfigError(f"class {labels.classes[column]!r}: {error}") from error
        return rows, values[rows].astype(np.int64)
    numbers = sorted(number for number, shot in drawn if shot == k)
    if sample >= len(numbers):
        raise ConfigError(f"the published draws have {len(numbers)} samples of k={k}")
    published = drawn[numbers[sample], k]
    if published.shape != labels.labels.shape:
        raise ConfigError(
            f"the published draws are of {published.shape} images and classes, the data of "
            f"{labels.labels.shape}"
        )
    targets = published[:, column]
    rows = np.flatnonzero(targets != -1)
    return rows, np.where(targets[rows] == 1, 1, -1)
