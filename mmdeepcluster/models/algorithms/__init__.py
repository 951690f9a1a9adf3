"""Algorithms, one file for each method."""

from mmdeepcluster.models.algorithms.base import BaseAlgorithm, OnlineAlgorithm
from mmdeepcluster.models.algorithms.odc import ODC

__all__ = ["ODC", "BaseAlgorithm", "OnlineAlgorithm"]
