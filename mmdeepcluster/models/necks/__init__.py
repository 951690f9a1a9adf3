"""Necks: from the output of a backbone to the features that are clustered."""

from mmdeepcluster.models.necks.average_pool import AveragePoolNeck, global_average_pool
from mmdeepcluster.models.necks.map_pooling import POOLINGS, MapPooling, split_layer
from mmdeepcluster.models.necks.odc_neck import ODCNeck

__all__ = [
    "POOLINGS",
    "AveragePoolNeck",
    "MapPooling",
    "ODCNeck",
    "global_average_pool",
    "split_layer",
]
