"""What is seen."""

from mmdeepcluster.visualization.contact_sheet import Cell, contact_sheet
from mmdeepcluster.visualization.curves import Curve, draw_curves, moving_mean, style_names
from mmdeepcluster.visualization.embedding import MIN_POINTS, check_embedding, embed_2d
from mmdeepcluster.visualization.figures import histograms, points, scatter
from mmdeepcluster.visualization.page import html_page
from mmdeepcluster.visualization.sprites import make_sprites

__all__ = [
    "MIN_POINTS",
    "Cell",
    "Curve",
    "check_embedding",
    "contact_sheet",
    "draw_curves",
    "embed_2d",
    "histograms",
    "html_page",
    "make_sprites",
    "moving_mean",
    "points",
    "scatter",
    "style_names",
]
