"""What is seen."""

from mmdeepcluster.visualization.embedding import MIN_POINTS, check_embedding, embed_2d
from mmdeepcluster.visualization.figures import histograms, points, scatter
from mmdeepcluster.visualization.page import html_page
from mmdeepcluster.visualization.sprites import make_sprites

__all__ = [
    "MIN_POINTS",
    "check_embedding",
    "embed_2d",
    "histograms",
    "html_page",
    "make_sprites",
    "points",
    "scatter",
]
