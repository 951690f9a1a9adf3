"""What is seen."""

from mmdeepcluster.visualization.figures import histograms, points

__all__ = ["histograms", "points"]
