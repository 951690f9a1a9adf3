"""Backbones: from images to features."""

from mmdeepcluster.models.backbones.alexnet import AlexNet, AlexNetMicro
from mmdeepcluster.models.backbones.base import Backbone, ChainedBackbone
from mmdeepcluster.models.backbones.conv_fc import ConvFCBackbone
from mmdeepcluster.models.backbones.convnet import ConvNet
from mmdeepcluster.models.backbones.fold_sobel import fold_sobel
from mmdeepcluster.models.backbones.lenet import LeNet5
from mmdeepcluster.models.backbones.resnet import ResNet
from mmdeepcluster.models.backbones.timm_backbone import TimmBackbone
from mmdeepcluster.models.backbones.torchvision_backbone import TorchvisionBackbone
from mmdeepcluster.models.backbones.vgg import VGG16BN

__all__ = [
    "VGG16BN",
    "AlexNet",
    "AlexNetMicro",
    "Backbone",
    "ChainedBackbone",
    "ConvFCBackbone",
    "ConvNet",
    "LeNet5",
    "ResNet",
    "TimmBackbone",
    "TorchvisionBackbone",
    "fold_sobel",
]
