"""What is seen."""

from mmdeepcluster.visualization.embedding import MIN_POINTS, check_embedding, embed_2d
from mmdeepcluster.visualization.figures import histograms, points, scatter

__all__ = ["MIN_POINTS", "check_embedding", "embed_2d", "histograms", "points", "scatter"]
