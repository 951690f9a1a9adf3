"""Signs that clusters or features collapse, and what to change.

The rules follow the literature on clustering with one's own labels: a loss pinned at ln K (uniform
predictions), one giant cluster, labels that change at random or not at all, features in few
dimensions, and dead features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mmdeepcluster.evaluation.cluster_health import ClusterHealth

_LOSS_TOLERANCE = 0.01


@dataclass(frozen=True)
class CollapseWarning:
    """One sign of collapse.

    Attributes:
        code: Stable name of the rule.
        seen: What was measured, in words and numbers.
        remedy: Keys of the config to change.
    """

    code: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.remedy}"


@dataclass(frozen=True)
class TrainingSigns:
    """What a training shows at one moment; None where it was not measured.

    Attributes:
        progress: Share of the training that is done, 0..1.
        health: Sizes of the clusters.
        loss: Mean loss of the last iterations.
        change_ratio: Mean share of samples whose label changed, of the last iterations.
        zero_share: Share of zero features in the last iterations, 0..1.
        spread: :func:`~mmdeepcluster.evaluation.feature_spread` of the features.
        rank_me: :func:`~mmdeepcluster.evaluation.rank_me` of the features.
        feature_dim: D.
        labels_frozen: Whether labels do not move at present on purpose.
    """

    progress: float
    health: ClusterHealth
    loss: float | None = None
    change_ratio: float | None = None
    zero_share: float | None = None
    spread: float | None = None
    rank_me: float | None = None
    feature_dim: int | None = None
    labels_frozen: bool = False


def collapse_warnings(signs: TrainingSigns) -> list[CollapseWarning]:
    """All rules that apply, the gravest first."""
    return [*_size_rules(signs), *_feature_rules(signs), *_learning_rules(signs)]


def _size_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    health, num_clusters = signs.health, signs.health.num_clusters
    remedy = (
        "raise model.memory.min_cluster_size or model.loss.power, or lower "
        "optim_wrapper.optimizer.lr"
    )
    if num_clusters - health.num_empty <= 1:
        yield CollapseWarning("single_cluster", "all samples are in one cluster", remedy)
        return
    if health.largest_share > max(10 / num_clusters, 0.2):
        yield CollapseWarning(
            "giant_cluster",
            f"the largest of {num_clusters} clusters holds {health.largest_share:.0%} of the "
            "samples",
            remedy,
        )
    if health.effective_clusters < num_clusters / 3:
        yield CollapseWarning(
            "few_effective_clusters",
            f"{health.effective_clusters:.1f} effective clusters of {num_clusters}",
            f"lower model.num_clusters, or {remedy}",
        )
    if health.num_empty:
        yield CollapseWarning(
            "empty_clusters",
            f"{health.num_empty} of {num_clusters} clusters are empty",
            "set model.memory.min_cluster_size to at least 1",
        )


def _feature_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    if signs.zero_share is not None and signs.zero_share > 0.01:
        yield CollapseWarning(
            "zero_features",
            f"{signs.zero_share:.1%} of the features are zero and have no direction",
            "set model.neck.final_relu=False, or lower optim_wrapper.optimizer.lr",
        )
    if signs.spread is not None and signs.spread < 0.1:
        yield CollapseWarning(
            "equal_features",
            f"features are nearly equal (spread {signs.spread:.3f}, 1 is even)",
            "lower optim_wrapper.optimizer.lr or weaken train_pipeline",
        )
    dim = signs.feature_dim
    if signs.rank_me is not None and dim is not None and signs.rank_me < min(10, dim / 4):
        yield CollapseWarning(
            "low_rank_features",
            f"features fill {signs.rank_me:.1f} of {dim} dimensions (RankMe)",
            "lower optim_wrapper.optimizer.lr, raise model.num_clusters, or set model.neck.dropout",
        )


def _learning_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    log_k = math.log(signs.health.num_clusters)
    loss, change = signs.loss, signs.change_ratio
    if loss is not None and signs.progress > 0.1 and abs(loss - log_k) < _LOSS_TOLERANCE:
        yield CollapseWarning(
            "loss_at_log_k",
            f"the loss {loss:.3f} is still ln K = {log_k:.3f}: nothing is learnt",
            "raise optim_wrapper.optimizer.lr or default_hooks.clustering.label_warmup",
        )
    if change is None or signs.labels_frozen:
        return
    if signs.progress > 0.1 and change > 0.8:
        yield CollapseWarning(
            "labels_at_random",
            f"{change:.0%} of the labels change at each visit",
            "lower model.memory.momentum or optim_wrapper.optimizer.lr, or raise "
            "default_hooks.clustering.label_warmup",
        )
    if signs.progress < 0.05 and change < 0.001:
        yield CollapseWarning(
            "labels_frozen",
            f"only {change:.2%} of the labels change: clusters are not refined",
            "raise model.memory.momentum or optim_wrapper.optimizer.lr",
        )
