"""The verbs for Python users; the tools call these."""

from mmdeepcluster.apis.assign import assign
from mmdeepcluster.apis.cluster_model import ClusterAssignment, ClusterModel
from mmdeepcluster.apis.embed_features import embed_features
from mmdeepcluster.apis.evaluate import evaluate
from mmdeepcluster.apis.export_clusters import export_clusters, export_model
from mmdeepcluster.apis.extract_features import extract_features
from mmdeepcluster.apis.initial_alignment import initial_alignment, rank_by_initial_alignment
from mmdeepcluster.apis.sweep import run_sweep
from mmdeepcluster.apis.sweep_plan import load_sweep
from mmdeepcluster.apis.train import prepare_training, train

__all__ = [
    "ClusterAssignment",
    "ClusterModel",
    "assign",
    "embed_features",
    "evaluate",
    "export_clusters",
    "export_model",
    "extract_features",
    "initial_alignment",
    "load_sweep",
    "prepare_training",
    "rank_by_initial_alignment",
    "run_sweep",
    "train",
]
