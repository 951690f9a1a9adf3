"""Gathers what the exploration of a method shows, one module for each part of its way."""

from mmdeepcluster.apis.exploration.clusters import explore_clusters
from mmdeepcluster.apis.exploration.network import explore_network
from mmdeepcluster.apis.exploration.setup import Setup, set_up
from mmdeepcluster.apis.exploration.training import explore_training
from mmdeepcluster.apis.exploration.views import explore_views, thumbnails

__all__ = [
    "Setup",
    "explore_clusters",
    "explore_network",
    "explore_training",
    "explore_views",
    "set_up",
    "thumbnails",
]
