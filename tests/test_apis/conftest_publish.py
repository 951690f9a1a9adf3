"""Checkpoints of trainings that were cut short, for tests of what comes out of them."""

from pathlib import Path

import torch
from torch import nn

from mmdeepcluster.engine import build_algorithm, eval_loader, load_config, resolve_config
from mmdeepcluster.engine.partial_state import whole_weights
from mmdeepcluster.engine.runner import identity
from mmdeepcluster.models import extract
from mmdeepcluster.version import __version__

CONFIGS = Path(__file__).parents[2] / "configs"
NUM_SAMPLES = 40


def small_config(path, **model):
    """A config on forty of the digits, with another model where given."""
    cfg = load_config(CONFIGS / path)
    cfg.dataset = {"type": "LongTailSubset", "dataset": {"type": "Digits"}} | {
        "num_classes": 10,
        "num_images": NUM_SAMPLES,
        "ratio": 1,
    }
    cfg.model.num_clusters = 4
    if "memory" in cfg.model:
        cfg.model.memory.min_cluster_size = 2
    cfg.merge_from_dict({f"model.{key}": dict(value) for key, value in model.items()})
    return cfg


def checkpoint(cfg, path, seed=0, own_features=False):
    """Saves what a training of this config would: random weights, clusters of random features.

    With ``own_features`` the clusters are of its images.
    """
    resolved = resolve_config(cfg)
    torch.manual_seed(seed)
    algorithm = build_algorithm(resolved).eval()
    for module in algorithm.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    features = torch.randn(NUM_SAMPLES, algorithm.feature_dim)
    if own_features:
        loader = eval_loader(resolved, resolved.dataset)
        features = extract(algorithm, loader, ("neck",))["neck"]
    algorithm.recluster(features, seed=0)
    algorithm.finalize(features, algorithm.labels())
    content = {
        "meta": {"epoch": 3, "iter": 9, "seed": 0, "mmdeepcluster_version": __version__},
        "mmdeepcluster": identity(algorithm, resolved.dataset.fingerprint()),
        "state_dict": whole_weights(algorithm),
        "cluster_state": algorithm.cluster_state(),
    }
    torch.save(content, path)
    return algorithm
