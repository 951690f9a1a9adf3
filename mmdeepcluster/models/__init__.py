"""Networks, memories and algorithms."""

from mmdeepcluster.models import backbones
from mmdeepcluster.models.algorithms import (
    ODC,
    AlternatingAlgorithm,
    BaseAlgorithm,
    DeepCluster,
    OnlineAlgorithm,
    Reclustering,
)
from mmdeepcluster.models.extraction import calibrate_batch_norm, extract
from mmdeepcluster.models.heads import ClusterHead
from mmdeepcluster.models.losses import ClassBalancedCrossEntropy
from mmdeepcluster.models.memories import LabelBank, ODCMemory
from mmdeepcluster.models.necks import AveragePoolNeck, ODCNeck
from mmdeepcluster.models.preprocessor import ImagePreprocessor

__all__ = [
    "ODC",
    "AlternatingAlgorithm",
    "AveragePoolNeck",
    "BaseAlgorithm",
    "ClassBalancedCrossEntropy",
    "ClusterHead",
    "DeepCluster",
    "ImagePreprocessor",
    "LabelBank",
    "ODCMemory",
    "ODCNeck",
    "OnlineAlgorithm",
    "Reclustering",
    "backbones",
    "calibrate_batch_norm",
    "extract",
]
