"""Clustering of feature matrices; usable without the rest of the package."""

from mmdeepcluster.clustering.assigner import Assigner, Assignment
from mmdeepcluster.clustering.faiss_kmeans import FaissKMeans
from mmdeepcluster.clustering.fast_assign import nearest_certified
from mmdeepcluster.clustering.functional import l2_normalize, nearest_centroid
from mmdeepcluster.clustering.kmeans import KMeans
from mmdeepcluster.clustering.linear_transform import LinearTransform
from mmdeepcluster.clustering.partition import Partition
from mmdeepcluster.clustering.pca import PCAWhitening
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.two_means import two_means

__all__ = [
    "Assigner",
    "Assignment",
    "ClusterResult",
    "FaissKMeans",
    "KMeans",
    "LinearTransform",
    "PCAWhitening",
    "Partition",
    "RowShare",
    "l2_normalize",
    "nearest_centroid",
    "nearest_certified",
    "two_means",
]
