"""The verbs for Python users; the tools call these."""

from mmdeepcluster.apis.embed_features import embed_features
from mmdeepcluster.apis.evaluate import evaluate
from mmdeepcluster.apis.initial_alignment import initial_alignment, rank_by_initial_alignment
from mmdeepcluster.apis.mmselfsup import convert_mmselfsup
from mmdeepcluster.apis.model_zoo import get_model, list_models, model_config, model_entries
from mmdeepcluster.apis.publish import Published, model_card, publish
from mmdeepcluster.apis.sweep import run_sweep
from mmdeepcluster.apis.sweep_plan import load_sweep
from mmdeepcluster.apis.train import prepare_training, train
from mmdeepcluster.engine import load_weights

__all__ = [
    "Published",
    "convert_mmselfsup",
    "embed_features",
    "evaluate",
    "get_model",
    "initial_alignment",
    "list_models",
    "load_sweep",
    "load_weights",
    "model_card",
    "model_config",
    "model_entries",
    "prepare_training",
    "publish",
    "rank_by_initial_alignment",
    "run_sweep",
    "train",
]
