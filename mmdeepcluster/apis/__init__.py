"""The verbs for Python users; the tools call these."""

from mmdeepcluster.apis.assign import assign
from mmdeepcluster.apis.browse_dataset import browse_dataset
from mmdeepcluster.apis.card_text import best_layers, shown
from mmdeepcluster.apis.claims_report import deepercluster_report
from mmdeepcluster.apis.cluster_model import ClusterAssignment, ClusterModel
from mmdeepcluster.apis.complexity import complexity, complexity_table
from mmdeepcluster.apis.embed_features import embed_features
from mmdeepcluster.apis.evaluate import evaluate
from mmdeepcluster.apis.evaluation_card import evaluate_card
from mmdeepcluster.apis.explore_pipeline import explore_pipeline
from mmdeepcluster.apis.export_clusters import export_clusters, export_model
from mmdeepcluster.apis.extract_features import extract_features
from mmdeepcluster.apis.finetune import finetune
from mmdeepcluster.apis.initial_alignment import initial_alignment, rank_by_initial_alignment
from mmdeepcluster.apis.learned_features import learned_features
from mmdeepcluster.apis.mmselfsup import convert_mmselfsup
from mmdeepcluster.apis.model_zoo import get_model, list_models, model_config, model_entries
from mmdeepcluster.apis.plot_curves import plot_curves
from mmdeepcluster.apis.publish import Published, model_card, publish
from mmdeepcluster.apis.result_table import read_cards, results_markdown, with_papers
from mmdeepcluster.apis.run_history import read_scalars
from mmdeepcluster.apis.run_reports import write_report
from mmdeepcluster.apis.sweep import run_sweep
from mmdeepcluster.apis.sweep_plan import load_sweep
from mmdeepcluster.apis.trace_schedule import trace_schedule, write_schedule
from mmdeepcluster.apis.train import prepare_training, train
from mmdeepcluster.apis.train_times import describe_times, train_times
from mmdeepcluster.apis.verify_dataset import verify_dataset
from mmdeepcluster.apis.voc_low_shot import voc_low_shot
from mmdeepcluster.apis.voc_svm import voc_svm
from mmdeepcluster.engine import load_weights

__all__ = [
    "ClusterAssignment",
    "ClusterModel",
    "Published",
    "assign",
    "best_layers",
    "browse_dataset",
    "complexity",
    "complexity_table",
    "convert_mmselfsup",
    "deepercluster_report",
    "describe_times",
    "embed_features",
    "evaluate",
    "evaluate_card",
    "explore_pipeline",
    "export_clusters",
    "export_model",
    "extract_features",
    "finetune",
    "get_model",
    "initial_alignment",
    "learned_features",
    "list_models",
    "load_sweep",
    "load_weights",
    "model_card",
    "model_config",
    "model_entries",
    "plot_curves",
    "prepare_training",
    "publish",
    "rank_by_initial_alignment",
    "read_cards",
    "read_scalars",
    "results_markdown",
    "run_sweep",
    "shown",
    "trace_schedule",
    "train",
    "train_times",
    "verify_dataset",
    "voc_low_shot",
    "voc_svm",
    "with_papers",
    "write_report",
    "write_schedule",
]
