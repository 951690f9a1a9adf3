"""Labels that learn nothing from the features: what a method must beat."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmdeepcluster.clustering.empty_clusters import split_largest
from mmdeepcluster.clustering.fast_assign import nearest_certified
from mmdeepcluster.clustering.functional import check_features
from mmdeepcluster.clustering.kmeans import check_num_samples
from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.summarize import summarize
from mmdeepcluster.registry import CLUSTERERS


class _Baseline(ABC):
    """A clusterer that makes its labels in one step.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
    """

    derived_keys = {"num_clusters": "model.num_clusters"}

    def __init__(self, num_clusters: int) -> None:
        if num_clusters < 1:
            raise ValueError(f"num_clusters must be at least 1, got {num_clusters}")
        self.num_clusters = num_clusters

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Labels the rows.

        Args:
            features: Matrix (N, D), any float type.
            seed: The same seed and features give the same labels.

        Returns:
            K clusters, none of them empty, with the means of their rows; ``num_iters`` is 0.

        Raises:
            ValueError: If N is less than K, or a row holds NaN or infinity.
        """
        check_num_samples(len(features), self.num_clusters)
        check_features(features)
        features = features.float()
        generator = torch.Generator().manual_seed(seed)
        labels = self._labels(features, generator)
        return summarize(features, labels, self.num_clusters, num_iters=0)

    @abstractmethod
    def _labels(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Cluster of each row (N,), none of the K empty."""


@CLUSTERERS.register_module()
class RandomLabels(_Baseline):
    """Labels drawn without a look at the features; sizes differ by one at most."""

    def _labels(self, features: Tensor, generator: torch.Generator) -> Tensor:
        order = torch.randperm(len(features), generator=generator)
        return (order % self.num_clusters).to(features.device)


@CLUSTERERS.register_module()
class RandomNearest(_Baseline):
    """Each sample takes the label of the nearest of K random samples (random k-NN labels).

    The first assignment of k-means, with nothing learnt after it: it keeps neighbours together as
    the features of the network do. Where anchors are equal, the largest clusters are split.
    """

    def _labels(self, features: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.randperm(len(features), generator=generator)[: self.num_clusters]
        labels = nearest_certified(features, features[chosen.to(features.device)])
        return split_largest(Points(features), labels, self.num_clusters, generator)
