"""Options under ``evaluation`` in a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured before and after training; none of it changes the training.

    Attributes:
        test_split: Split of the same data set that training does not see; its images are
            classified by their neighbours in the training set. None leaves one image out instead.
        knn_k: Neighbours that vote.
        knn_temperature: Temperature of their weights.
        max_samples: A larger set is measured on a seeded subset of this many images.
    """

    test_split: str | None = None
    knn_k: int = 20
    knn_temperature: float = 0.07
    max_samples: int = 100_000

    @classmethod
    def from_config(cls, cfg: Any) -> EvaluationOptions:
        """Reads ``cfg.evaluation``."""
        return cls(**(cfg.get("evaluation") or {}))
