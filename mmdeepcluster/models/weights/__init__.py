"""Weights in, what a file of another project holds of a network of ours; and weights out."""

from mmdeepcluster.models.weights.exports import LIBRARIES, ExportedBackbone, export_backbone
from mmdeepcluster.models.weights.matching import WeightsMatch, explain, match_weights

__all__ = [
    "LIBRARIES",
    "ExportedBackbone",
    "WeightsMatch",
    "explain",
    "export_backbone",
    "match_weights",
]
