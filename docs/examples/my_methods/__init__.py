"""Components of mine for mmdeepcluster; importing them registers them."""

from my_methods.backbone import ConvMixer
from my_methods.clusterer import MixtureOfGaussians
from my_methods.method import TypicalDeepCluster

__all__ = ["ConvMixer", "MixtureOfGaussians", "TypicalDeepCluster"]
