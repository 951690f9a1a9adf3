"""Options under ``evaluation`` in a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmdeepcluster.engine.errors import ConfigError


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured before and after training; none of it changes the training.

    Attributes:
        test_split: Split of the same data set that training does not see; its images are
            classified by their neighbours in the training set. None leaves one image out instead.
        knn_k: Neighbours that vote.
        knn_temperature: Temperature of their weights.
        max_samples: A larger set is measured on a seeded subset of this many images.
        probe_layer: Layer on which a linear classifier is trained after the training (R41), such
            as ``relu_5.flat``; needs known labels and ``test_split``. None trains none.
        num_clusters: Clusters of the k-means that features are judged by, so that methods with
            different K can be compared. None takes ``model.num_clusters``.
    """

    test_split: str | None = None
    knn_k: int = 20
    knn_temperature: float = 0.07
    max_samples: int = 100_000
    probe_layer: str | None = None
    num_clusters: int | None = None

    def __post_init__(self) -> None:
        if self.probe_layer is not None and self.test_split is None:
            raise ConfigError(
                f"evaluation.probe_layer={self.probe_layer!r} needs test images: set "
                "evaluation.test_split, or leave it out"
            )

        if self.num_clusters is not None and self.num_clusters < 2:
            raise ConfigError(
                f"evaluation.num_clusters must be at least 2, got {self.num_clusters}"
            )

    @classmethod
    def from_config(cls, cfg: Any) -> EvaluationOptions:
        """Reads ``cfg.evaluation``.

        Raises:
            ConfigError: For options that do not go together.
        """
        return cls(**(cfg.get("evaluation") or {}))
