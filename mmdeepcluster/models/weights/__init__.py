"""Weights in: what a file of another project holds of a network of ours."""

from mmdeepcluster.models.weights.matching import WeightsMatch, explain, match_weights

__all__ = ["WeightsMatch", "explain", "match_weights"]
