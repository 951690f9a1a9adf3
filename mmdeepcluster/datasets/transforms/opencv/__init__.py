"""Transforms executed by OpenCV."""

from mmdeepcluster.datasets.transforms.opencv.pipeline import OpenCVPipeline

__all__ = ["OpenCVPipeline"]
