"""A clusterer of scikit-learn, under the contract of mmdeepcluster."""

from __future__ import annotations

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from mmdeepcluster.clustering import ClusterResult
from mmdeepcluster.clustering.empty_clusters import split_largest
from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.summarize import summarize
from mmdeepcluster.registry import CLUSTERERS


@CLUSTERERS.register_module()
class MixtureOfGaussians:
    """K Gaussians with diagonal covariances, fitted by expectation maximisation.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        max_iters: Most iterations. Defaults to 20.
        floor: Added to each variance, so that none becomes zero. Defaults to 1e-4.
    """

    # Given by the method; a config that sets it as well is refused.
    derived_keys = {"num_clusters": "model.num_clusters"}

    def __init__(self, num_clusters: int, max_iters: int = 20, floor: float = 1e-4) -> None:
        self.num_clusters = num_clusters
        self.max_iters = max_iters
        self.floor = floor

    def fit(self, features: Tensor, seed: int) -> ClusterResult:
        """Clusters rows (N, D); the same rows and seed give the same labels."""
        mixture = GaussianMixture(
            self.num_clusters,
            covariance_type="diag",
            reg_covar=self.floor,
            max_iter=self.max_iters,
            random_state=seed % 2**32,
        )
        with warnings.catch_warnings():
            # A few iterations are enough for labels that are made anew in the next cycle.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = torch.from_numpy(mixture.fit_predict(features.cpu().numpy()))
        # A Gaussian may be the likeliest of no row; ClusterResult refuses empty clusters.
        generator = torch.Generator().manual_seed(seed)
        labels = split_largest(
            Points(features), labels.to(features.device), self.num_clusters, generator
        )
        return summarize(features, labels, self.num_clusters, int(mixture.n_iter_))
