"""Losses."""

from mmdeepcluster.models.losses.class_balanced import (
    ClassBalancedCrossEntropy,
    sample_weights,
)

__all__ = ["ClassBalancedCrossEntropy", "sample_weights"]
