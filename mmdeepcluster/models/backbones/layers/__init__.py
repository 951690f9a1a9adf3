"""Layers that several backbones share."""

from mmdeepcluster.models.backbones.layers.sobel import Sobel

__all__ = ["Sobel"]
