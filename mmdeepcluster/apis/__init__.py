"""The verbs for Python users; the tools call these."""

from mmdeepcluster.apis.evaluate import evaluate
from mmdeepcluster.apis.train import prepare_training, train

__all__ = ["evaluate", "prepare_training", "train"]
