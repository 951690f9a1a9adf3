"""Clustering of feature matrices; usable without the rest of the package."""

from mmdeepcluster.clustering.assigner import Assigner, Assignment
from mmdeepcluster.clustering.baselines import RandomLabels, RandomNearest
from mmdeepcluster.clustering.draw_group import DrawGroup
from mmdeepcluster.clustering.faiss_kmeans import FaissKMeans
from mmdeepcluster.clustering.fast_assign import nearest_certified
from mmdeepcluster.clustering.functional import l2_normalize, nearest_centroid
from mmdeepcluster.clustering.host_copy import HostCopy
from mmdeepcluster.clustering.kmeans import KMeans
from mmdeepcluster.clustering.linear_transform import LinearTransform
from mmdeepcluster.clustering.matching import match_clusters
from mmdeepcluster.clustering.partition import Partition
from mmdeepcluster.clustering.pca import PCAWhitening
from mmdeepcluster.clustering.power_iteration import PowerIterationClustering
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.two_level import TwoLevelKMeans
from mmdeepcluster.clustering.two_means import two_means

__all__ = [
    "Assigner",
    "Assignment",
    "ClusterResult",
    "DrawGroup",
    "FaissKMeans",
    "HostCopy",
    "KMeans",
    "LinearTransform",
    "PCAWhitening",
    "Partition",
    "PowerIterationClustering",
    "RandomLabels",
    "RandomNearest",
    "RowShare",
    "TwoLevelKMeans",
    "l2_normalize",
    "match_clusters",
    "nearest_centroid",
    "nearest_certified",
    "two_means",
]
