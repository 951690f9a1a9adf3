"""Images in: data sets, the pipelines they are seen through, samplers and loaders."""

from mmdeepcluster.datasets.array_view import ArrayView
from mmdeepcluster.datasets.base import ArrayImageDataset, BaseImageDataset
from mmdeepcluster.datasets.class_subsets import ClassSubset, LongTailSubset, long_tail_sizes
from mmdeepcluster.datasets.digits import Digits
from mmdeepcluster.datasets.file_check import find_unreadable
from mmdeepcluster.datasets.folder import ImageFolder
from mmdeepcluster.datasets.given_images import given_images
from mmdeepcluster.datasets.image_files import ImageFileDataset
from mmdeepcluster.datasets.image_list import ImageList
from mmdeepcluster.datasets.image_view import ImageView
from mmdeepcluster.datasets.joined_images import JoinedImages
from mmdeepcluster.datasets.kept_view import KeptView
from mmdeepcluster.datasets.loader import (
    TRANSFORM_BACKENDS,
    build_eval_loader,
    build_train_loader,
    end_workers,
)
from mmdeepcluster.datasets.opencv_view import OpenCVView
from mmdeepcluster.datasets.pil_loading import load_rgb
from mmdeepcluster.datasets.samplers import (
    BalancedBatchSampler,
    Draw,
    OwnerSampler,
    UniformClusterSampler,
)
from mmdeepcluster.datasets.torchvision_sets import (
    CIFAR10,
    CIFAR100,
    MNIST,
    STL10,
    SVHN,
    FashionMNIST,
)
from mmdeepcluster.datasets.transforms import build_pipeline

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "STL10",
    "SVHN",
    "TRANSFORM_BACKENDS",
    "ArrayImageDataset",
    "ArrayView",
    "BalancedBatchSampler",
    "BaseImageDataset",
    "ClassSubset",
    "Digits",
    "Draw",
    "FashionMNIST",
    "ImageFileDataset",
    "ImageFolder",
    "ImageList",
    "ImageView",
    "JoinedImages",
    "KeptView",
    "LongTailSubset",
    "OpenCVView",
    "OwnerSampler",
    "UniformClusterSampler",
    "build_eval_loader",
    "build_pipeline",
    "build_train_loader",
    "end_workers",
    "find_unreadable",
    "given_images",
    "load_rgb",
    "long_tail_sizes",
]
