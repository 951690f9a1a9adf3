"""How well the clusters of an untrained network already agree with known labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mmdeepcluster.evaluation.cluster_metrics import adjusted_mutual_info, normalized_mutual_info

AVERAGE_METHOD = "arithmetic"
MEASURES = ("nmi", "nmi_geometric", "ami", "nmi_above_chance")

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class Alignment:
    """Agreement of one clustering with known labels, as it is and corrected for chance (R32).

    Attributes:
        nmi: NMI with the arithmetic mean of both entropies, the Initial Alignment (R30).
        nmi_geometric: NMI with their geometric mean, which older studies report.
        ami: Mutual information adjusted for chance.
        nmi_permuted: Mean ``nmi`` after the labels were shuffled: what chance alone gives, which
            grows with the number of clusters.
        nmi_above_chance: ``nmi`` minus ``nmi_permuted``.
    """

    nmi: float
    nmi_geometric: float
    ami: float
    nmi_permuted: float
    nmi_above_chance: float

    def as_dict(self) -> dict[str, float]:
        """The measures by name."""
        return asdict(self)


def alignment(
    assignments: ArrayLike, labels: ArrayLike, num_permutations: int = 5, seed: int = 0
) -> Alignment:
    """Measures a clustering against known labels.

    With features of an untrained network this is its Initial Alignment
    ``2 I(clusters; labels) / (H(clusters) + H(labels))`` [0].

    - [0]: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 4.1.1.

    Args:
        assignments: Cluster of each sample (N,).
        labels: Class of each sample (N,).
        num_permutations: Shuffles of the labels that chance is measured by.
        seed: Seed of the shuffles.

    Returns:
        The measures; NaN where there is a single cluster and a single class.

    Raises:
        ValueError: If the lengths differ, there are no samples, ids are negative or no integers,
            or there is no permutation.
    """
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be >= 1, got {num_permutations}")
    nmi = normalized_mutual_info(assignments, labels)
    generator = np.random.default_rng(seed)
    shuffled = [
        normalized_mutual_info(assignments, generator.permutation(np.asarray(labels)))
        for _ in range(num_permutations)
    ]
    chance = float(np.mean(shuffled))
    return Alignment(
        nmi=nmi,
        nmi_geometric=normalized_mutual_info(assignments, labels, average="geometric"),
        ami=adjusted_mutual_info(assignments, labels),
        nmi_permuted=chance,
        nmi_above_chance=nmi - chance,
    )


def summarize_alignments(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Distribution over seeds (R31).

    Args:
        rows: For each seed and K the measures by name, with ``num_clusters``.

    Returns:
        By ascending K: ``num_seeds``, and of each measure ``min``, ``median``, ``mean``, ``max``.
    """
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["num_clusters"], []).append(row)
    return {
        number: {
            "num_seeds": len(found[number]),
            **{name: _spread([row[name] for row in found[number]]) for name in MEASURES},
        }
        for number in sorted(found)
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": float(np.min(values)),
        "median": float(np.median(values)),
        "mean": float(np.mean(values)),
        "max": float(np.max(values)),
    }


def select_by_ia(samples: Mapping[Value, Sequence[float]]) -> list[tuple[Value, float]]:
    """Ranks values of a hyper-parameter by the median Initial Alignment of their seeds (R39).

    Alignment needs labels, so this selects in a semi-supervised way. NMI rises with the number of
    clusters by chance alone: rank numbers of clusters by a measure that is corrected for it.

    Args:
        samples: For each value its alignments, one per seed.

    Returns:
        Values with their medians, the best first; equal medians keep their order.

    Raises:
        ValueError: If there is no value, or one has no alignment or one that is not finite.
    """
    if not samples:
        raise ValueError("there is no value to choose from")
    for value, alignments in samples.items():
        if not len(alignments) or not np.isfinite(alignments).all():
            raise ValueError(f"value {value!r} has no finite alignment, got {list(alignments)}")
    medians = [(value, float(np.median(alignments))) for value, alignments in samples.items()]
    return sorted(medians, key=lambda pair: -pair[1])
