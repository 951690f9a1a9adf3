"""Samplers: which sample is drawn when, by which rank, and how draws become batches."""

from mmdeepcluster.datasets.samplers.balanced_batch_sampler import BalancedBatchSampler
from mmdeepcluster.datasets.samplers.dealt_batch_sampler import DealtBatchSampler
from mmdeepcluster.datasets.samplers.owner_sampler import Draw, OwnerSampler
from mmdeepcluster.datasets.samplers.uniform_cluster_sampler import UniformClusterSampler

__all__ = [
    "BalancedBatchSampler",
    "DealtBatchSampler",
    "Draw",
    "OwnerSampler",
    "UniformClusterSampler",
]
