"""Networks, memories and algorithms."""

from mmdeepcluster.models import backbones
from mmdeepcluster.models.algorithms import ODC, BaseAlgorithm, OnlineAlgorithm
from mmdeepcluster.models.extraction import calibrate_batch_norm, extract
from mmdeepcluster.models.heads import ClusterHead
from mmdeepcluster.models.losses import ClassBalancedCrossEntropy
from mmdeepcluster.models.memories import LabelBank, ODCMemory
from mmdeepcluster.models.necks import AveragePoolNeck, ODCNeck
from mmdeepcluster.models.preprocessor import ImagePreprocessor

__all__ = [
    "ODC",
    "AveragePoolNeck",
    "BaseAlgorithm",
    "ClassBalancedCrossEntropy",
    "ClusterHead",
    "ImagePreprocessor",
    "LabelBank",
    "ODCMemory",
    "ODCNeck",
    "OnlineAlgorithm",
    "backbones",
    "calibrate_batch_norm",
    "extract",
]
