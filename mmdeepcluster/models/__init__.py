"""Networks, memories and algorithms."""

from mmdeepcluster.models import backbones
from mmdeepcluster.models.algorithms import (
    ODC,
    AlternatingAlgorithm,
    BaseAlgorithm,
    DeepCluster,
    DeeperCluster,
    OnlineAlgorithm,
    Reclustering,
    derived_keys,
)
from mmdeepcluster.models.calibration import calibrate_batch_norm
from mmdeepcluster.models.extraction import ExtractionStoppedError, extract
from mmdeepcluster.models.heads import ClusterHead, ProductHead, TwoLevelHead
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
    "DeeperCluster",
    "ExtractionStoppedError",
    "ImagePreprocessor",
    "LabelBank",
    "ODCMemory",
    "ODCNeck",
    "OnlineAlgorithm",
    "ProductHead",
    "Reclustering",
    "TwoLevelHead",
    "backbones",
    "calibrate_batch_norm",
    "derived_keys",
    "extract",
]
