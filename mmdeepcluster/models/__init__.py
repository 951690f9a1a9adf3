"""Networks, memories and algorithms."""

from mmdeepcluster.models import backbones
from mmdeepcluster.models.algorithms import (
    ODC,
    AlternatingAlgorithm,
    BaseAlgorithm,
    DeepCluster,
    DeeperCluster,
    FeatureModel,
    OnlineAlgorithm,
    Reclustering,
    derived_keys,
)
from mmdeepcluster.models.algorithms.rotation import draw_rotations, rotate
from mmdeepcluster.models.backbones import (
    Backbone,
    TimmBackbone,
    TorchvisionBackbone,
    fold_sobel,
)
from mmdeepcluster.models.calibration import calibrate_batch_norm
from mmdeepcluster.models.cluster_network import ClusterNetwork
from mmdeepcluster.models.extraction import extract
from mmdeepcluster.models.heads import ClusterHead, ProductHead, TwoLevelHead, TwoLevelTargets
from mmdeepcluster.models.losses import ClassBalancedCrossEntropy, sample_weights
from mmdeepcluster.models.memories import LabelBank, ODCMemory
from mmdeepcluster.models.necks import AveragePoolNeck, ODCNeck, global_average_pool
from mmdeepcluster.models.preprocessor import ImagePreprocessor
from mmdeepcluster.models.row_pass import (
    ExtractionStoppedError,
    PassProgress,
    check_finite,
    feature_rows,
    on_host,
)

__all__ = [
    "ODC",
    "AlternatingAlgorithm",
    "AveragePoolNeck",
    "Backbone",
    "BaseAlgorithm",
    "ClassBalancedCrossEntropy",
    "ClusterHead",
    "ClusterNetwork",
    "DeepCluster",
    "DeeperCluster",
    "ExtractionStoppedError",
    "FeatureModel",
    "ImagePreprocessor",
    "LabelBank",
    "ODCMemory",
    "ODCNeck",
    "OnlineAlgorithm",
    "PassProgress",
    "ProductHead",
    "Reclustering",
    "TimmBackbone",
    "TorchvisionBackbone",
    "TwoLevelHead",
    "TwoLevelTargets",
    "backbones",
    "calibrate_batch_norm",
    "check_finite",
    "derived_keys",
    "draw_rotations",
    "extract",
    "feature_rows",
    "fold_sobel",
    "global_average_pool",
    "on_host",
    "rotate",
    "sample_weights",
]
