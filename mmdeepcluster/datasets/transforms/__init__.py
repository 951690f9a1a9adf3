"""Image transforms: those of ``torchvision.transforms.v2``, under their torchvision names."""

from mmdeepcluster.datasets.transforms.torchvision_v2 import build_pipeline

__all__ = ["build_pipeline"]
