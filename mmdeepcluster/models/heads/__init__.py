"""Heads: what the network predicts."""

from mmdeepcluster.models.heads.cluster_head import ClusterHead

__all__ = ["ClusterHead"]
