"""Deep clustering: an encoder and a clustering of its own features teach each other."""

from mmdeepcluster.version import __version__

__all__ = ["__version__"]
