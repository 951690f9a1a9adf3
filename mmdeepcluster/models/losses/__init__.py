"""Losses."""

from mmdeepcluster.models.losses.class_balanced import (
    ClassBalancedCrossEntropy,
    cluster_weights,
)

__all__ = ["ClassBalancedCrossEntropy", "cluster_weights"]
