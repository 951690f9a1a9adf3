"""Heads: what the network predicts."""

from mmdeepcluster.models.heads.cluster_head import ClusterHead
from mmdeepcluster.models.heads.product_head import ProductHead
from mmdeepcluster.models.heads.two_level_head import TwoLevelHead, TwoLevelTargets

__all__ = ["ClusterHead", "ProductHead", "TwoLevelHead", "TwoLevelTargets"]
