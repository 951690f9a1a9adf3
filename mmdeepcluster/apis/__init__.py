"""The verbs for Python users; the tools call these."""

from mmdeepcluster.apis.evaluate import evaluate
from mmdeepcluster.apis.initial_alignment import initial_alignment, rank_by_initial_alignment
from mmdeepcluster.apis.train import prepare_training, train

__all__ = [
    "evaluate",
    "initial_alignment",
    "prepare_training",
    "rank_by_initial_alignment",
    "train",
]
