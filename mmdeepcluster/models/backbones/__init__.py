"""Backbones: from images to features."""

from mmdeepcluster.models.backbones.alexnet import AlexNet
from mmdeepcluster.models.backbones.base import Backbone, ChainedBackbone
from mmdeepcluster.models.backbones.convnet import ConvNet
from mmdeepcluster.models.backbones.lenet import LeNet5
from mmdeepcluster.models.backbones.resnet import ResNet
from mmdeepcluster.models.backbones.timm_backbone import TimmBackbone

__all__ = ["AlexNet", "Backbone", "ChainedBackbone", "ConvNet", "LeNet5", "ResNet", "TimmBackbone"]
