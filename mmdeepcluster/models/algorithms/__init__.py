"""Algorithms, one file for each method."""

from mmdeepcluster.models.algorithms.alternating import AlternatingAlgorithm
from mmdeepcluster.models.algorithms.base import (
    BaseAlgorithm,
    OnlineAlgorithm,
    Reclustering,
)
from mmdeepcluster.models.algorithms.deepcluster import DeepCluster
from mmdeepcluster.models.algorithms.deepercluster import DeeperCluster, derived_keys
from mmdeepcluster.models.algorithms.feature_model import FeatureModel
from mmdeepcluster.models.algorithms.odc import ODC

__all__ = [
    "ODC",
    "AlternatingAlgorithm",
    "BaseAlgorithm",
    "DeepCluster",
    "DeeperCluster",
    "FeatureModel",
    "OnlineAlgorithm",
    "Reclustering",
    "derived_keys",
]
