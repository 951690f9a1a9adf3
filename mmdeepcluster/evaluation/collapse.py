"""Signs of a collapsed training, and what to change: rules over numbers, without a Runner."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mmdeepcluster.evaluation.cluster_health import ClusterHealth

# Distance to ln K, in nats, that counts as "the network predicts nothing"; share of ln K below
# which a loss counts as "nothing left to predict".
_PINNED_LOSS = 0.01
_VANISHED_LOSS = 0.05
_RANDOM_CHANGE, _RANDOM_AFTER = 0.8, 0.1
_FROZEN_CHANGE, _FROZEN_BEFORE = 0.005, 0.05
# Unit rows with this spread have a mean cosine of 0.99 to each other.
_NARROW_SPREAD = 0.1
_LOW_RANK, _WIDE_FEATURES = 10.0, 64
_ZERO_SHARE = 0.01


@dataclass(frozen=True)
class TrainingSigns:
    """What was measured since the last look; None where something was not.

    Attributes:
        progress: Share of the training that is done, 0 to 1.
        health: Sizes of the clusters.
        loss: Mean loss in nats per sample.
        chance_loss: Loss of guessing; ln K by default.
        change_ratio: Mean share of samples whose label changed in an update, 0 to 1.
        zero_share: Share of samples with a feature of zeros, 0 to 1.
        spread: :func:`~mmdeepcluster.evaluation.feature_spread` of the features.
        rank_me: :func:`~mmdeepcluster.evaluation.rank_me` of the features.
        feature_dim: Width of the features.
        labels_frozen: Whether labels are kept on purpose, so that none can change.
        warming_up: Whether the learning rate is still rising: a loss near ln K and features of
            little spread are then no sign of anything.
    """

    progress: float | None = None
    health: ClusterHealth | None = None
    loss: float | None = None
    chance_loss: float | None = None
    change_ratio: float | None = None
    zero_share: float | None = None
    spread: float | None = None
    rank_me: float | None = None
    feature_dim: int | None = None
    labels_frozen: bool = False
    warming_up: bool = False


@dataclass(frozen=True)
class CollapseWarning:
    """One sign of collapse.

    Attributes:
        code: Stable name of the rule.
        seen: What was seen, with its numbers.
        remedy: What to change, by config key.
    """

    code: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code}: {self.seen}; {self.remedy}"


def collapse_warnings(signs: TrainingSigns) -> list[CollapseWarning]:
    """Applies every rule whose numbers are known.

    Codes: ``single_cluster``, ``giant_cluster``, ``few_effective_clusters``, ``uniform_loss``,
    ``trivial_loss``, ``random_labels``, ``frozen_labels``, ``constant_features``,
    ``low_rank_features``, ``zero_features``.

    Args:
        signs: What was measured.

    Returns:
        The warnings, none for a healthy training.
    """
    rules = (_size_rules, _loss_rules, _change_rules, _feature_rules)
    return [warning for rule in rules for warning in rule(signs)]


def largest_share_limit(num_clusters: int) -> float:
    """Share of the samples above which the largest of K clusters is a giant.

    Ten times the mean for K > 20. Below that ten times the mean is no longer a minority, so the
    limit is a half, or twice the mean (at most 0.9) where K is so small that a half is usual.
    """
    if num_clusters > 20:
        return 10 / num_clusters
    return max(0.5, min(2 / num_clusters, 0.9))


def _size_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    health = signs.health
    if health is None or health.num_clusters < 2:
        return
    total = health.num_clusters
    if health.num_empty == total - 1:
        yield CollapseWarning(
            "single_cluster",
            f"all {health.num_samples} samples are in one of {total} clusters",
            "the labels teach nothing any more: restart with a lower "
            "optim_wrapper.optimizer.lr or a larger model.memory.min_cluster_size",
        )
        return
    limit = largest_share_limit(total)
    if health.largest_share > limit:
        yield CollapseWarning(
            "giant_cluster",
            f"the largest of {total} clusters holds {health.largest_share:.1%} of the samples "
            f"(limit {limit:.1%})",
            "raise model.memory.min_cluster_size so that it is split sooner, or lower "
            "optim_wrapper.optimizer.lr",
        )
    if health.effective_clusters < total / 3:
        yield CollapseWarning(
            "few_effective_clusters",
            f"sizes are as uneven as if {health.effective_clusters:.1f} of {total} clusters "
            f"were in use (limit {total / 3:.1f})",
            "lower model.num_clusters, or raise model.memory.min_cluster_size",
        )


def _loss_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    health, loss = signs.health, signs.loss
    if health is None or loss is None or health.num_clusters < 2:
        return
    chance = signs.chance_loss
    text = f"{chance:.4f}" if chance is not None else f"ln {health.num_clusters} = "
    if chance is None:
        chance = math.log(health.num_clusters)
        text += f"{chance:.4f}"
    if abs(loss - chance) < _PINNED_LOSS and not signs.warming_up:
        yield CollapseWarning(
            "uniform_loss",
            f"the loss {loss:.4f} is that of guessing, {text}",
            "the network does not learn its labels: change optim_wrapper.optimizer.lr, or lower "
            "model.memory.momentum (the share of the new feature) so that labels last longer",
        )
    share = health.largest_share
    if loss < _VANISHED_LOSS * chance and share > largest_share_limit(health.num_clusters):
        yield CollapseWarning(
            "trivial_loss",
            f"the loss is {loss:.4f} while one cluster holds {share:.1%} of the samples",
            "predicting the largest cluster is enough: raise model.memory.min_cluster_size, and "
            "balance the clusters by the weights of the loss or the sampler",
        )


def _change_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    change, progress = signs.change_ratio, signs.progress
    if change is None or progress is None:
        return
    if change > _RANDOM_CHANGE and progress > _RANDOM_AFTER:
        yield CollapseWarning(
            "random_labels",
            f"{change:.1%} of the labels change per update after {progress:.0%} of the training",
            "labels are as good as random: lower optim_wrapper.optimizer.lr, "
            "model.memory.momentum (the share of the new feature) or model.num_clusters",
        )
    deliberate = signs.labels_frozen or signs.warming_up
    if change < _FROZEN_CHANGE and progress <= _FROZEN_BEFORE and not deliberate:
        yield CollapseWarning(
            "frozen_labels",
            f"{change:.2%} of the labels change per update within the first {progress:.1%} of "
            "the training",
            "the first clustering is only memorised: raise optim_wrapper.optimizer.lr or "
            "model.memory.momentum (the share of the new feature)",
        )


def _feature_rules(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    if signs.spread is not None and signs.spread < _NARROW_SPREAD and not signs.warming_up:
        yield CollapseWarning(
            "constant_features",
            f"all features point nearly the same way: spread {signs.spread:.3f}, about 1 if "
            f"even (limit {_NARROW_SPREAD})",
            "lower optim_wrapper.optimizer.lr, or start from pretrained weights (load_from)",
        )
    yield from _rank_rule(signs)
    if signs.zero_share is not None and signs.zero_share > _ZERO_SHARE:
        yield CollapseWarning(
            "zero_features",
            f"{signs.zero_share:.1%} of the samples have a feature of zeros "
            f"(limit {_ZERO_SHARE:.0%})",
            "the last ReLU is dead for them: set model.neck.final_relu=False, or lower "
            "optim_wrapper.optimizer.lr",
        )


def _rank_rule(signs: TrainingSigns) -> Iterator[CollapseWarning]:
    rank, width = signs.rank_me, signs.feature_dim
    if rank is None or width is None or width < _WIDE_FEATURES or signs.warming_up:
        return
    # K well separated clusters fill K directions: few clusters excuse a low rank
    limit = _LOW_RANK
    if signs.health is not None:
        limit = min(_LOW_RANK, signs.health.num_clusters / 2)
    if rank < limit:
        yield CollapseWarning(
            "low_rank_features",
            f"features of {width} dimensions have an effective rank of {rank:.1f} "
            f"(limit {limit:.1f})",
            "most dimensions carry nothing: lower optim_wrapper.optimizer.lr, raise "
            "model.num_clusters, or set model.neck.final_relu=False",
        )
