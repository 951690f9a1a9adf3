"""What an exploration of a method gathers: plain arrays and texts, which the page is made of.

N is the number of images that were clustered, K the number of clusters, D the width of a feature.
Own images are the first of the N. Pictures are uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """A picture behind one step of a pipeline, and what the step was."""

    name: str
    picture: Picture


@dataclass(frozen=True)
class FeatureMaps:
    """Maps of some channels of a layer.

    Attributes:
        layer: Name of the layer.
        channels: Which channels (n,).
        maps: Their values (n, h, w).
        total: Channels that the layer has.
    """

    layer: str
    channels: Sequence[int]
    maps: Floats
    total: int


@dataclass(frozen=True)
class OwnImage:
    """One image on its way to the feature.

    Attributes:
        name: Its name.
        original: The picture, made smaller if it is large.
        size: Width and height of the original in pixels.
        train_steps: After each step of the training pipeline, for one draw.
        train_draws: Ends of further draws.
        eval_steps: After each step of the evaluation pipeline.
        planes: Grey value and gradients (H, W) by name; empty without a Sobel layer.
        maps: Feature maps of some layers.
        turned: Quarter turns, where the method predicts them.
    """

    name: str
    original: Picture
    size: tuple[int, int]
    train_steps: Sequence[Step]
    train_draws: Sequence[Picture]
    eval_steps: Sequence[Step]
    planes: Mapping[str, Floats]
    maps: Sequence[FeatureMaps]
    turned: Sequence[Picture]


@dataclass(frozen=True)
class Layer:
    """A layer of the network.

    Attributes:
        name: Its name.
        kind: ``image``, ``sobel``, ``map``, ``vector``, ``neck`` or ``head``.
        shape: Shape of its output for one image.
        tapped: Whether features are taken here.
        used: Whether the features that are clustered depend on it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    tapped: bool = False
    used: bool = True


@dataclass(frozen=True)
class Matrix:
    """A stage of the feature matrix.

    Attributes:
        name: What was done.
        rows: Rows (N, D).
        spectrum: Eigenvalues of its covariance, the largest first.
    """

    name: str
    rows: Floats
    spectrum: Floats


@dataclass(frozen=True)
class Clustering:
    """What k-means found.

    Attributes:
        labels: Cluster (N,).
        distances: Distance to the centroid (N,).
        counts: Sizes (K,).
        objectives: Mean squared distance after each iteration; empty where unknown.
        objective: In the end.
        num_iters: Iterations.
        clusterer: Name of the component.
        num_super_clusters: Clusters of the first level; 1 where there is one level.
        dissolved: Clusters that were below the smallest size and were refilled, -1 where there is
            no such rule.
    """

    labels: Ints
    distances: Floats
    counts: Ints
    objectives: Sequence[float]
    objective: float
    num_iters: int
    clusterer: str
    num_super_clusters: int = 1
    dissolved: int = -1


@dataclass(frozen=True)
class Neighborhood:
    """Where an own image lies.

    Attributes:
        centroid_distances: Distance to each centroid (K,).
        neighbors: Nearest other images (k,), the nearest first.
        distances: Their distances (k,).
    """

    centroid_distances: Floats
    neighbors: Ints
    distances: Floats


@dataclass(frozen=True)
class Draws:
    """One epoch of the sampler.

    Attributes:
        sampler: Name of the component.
        counts: Members of each cluster (K,).
        draws: Draws from each cluster (K,).
        most: Draws of the image that was drawn most often.
        missed: Images that were not drawn.
        weights: Weight of the loss of a sample of each cluster (K,), where losses are weighted.
        power: Exponent of those weights.
    """

    sampler: str
    counts: Ints
    draws: Ints
    most: int
    missed: int
    weights: Floats | None
    power: float


@dataclass(frozen=True)
class TrainingStep:
    """One step of the optimizer.

    Attributes:
        samples: Images of the batch (B,), own ones first.
        pictures: As they were augmented, and turned, (B, H, W, 3).
        targets: Their clusters (B,).
        rotations: Their quarter turns (B,), None where the method turns nothing.
        loss_before: Loss of the step.
        loss_after: Loss of the same batch after it, with the same dropout.
        losses: Parts of the loss by name.
        chance: Loss of a guess.
        before: Probability of the target (B,) before the step.
        after: The same after it.
        own_before: Probability of each cluster (n, K) for the own images, before.
        own_after: After.
        rate: Learning rate of the first group of parameters.
        head_rate: That of the head.
        optimizer: Name of the optimizer.
    """

    samples: Ints
    pictures: Picture
    targets: Ints
    rotations: Ints | None
    loss_before: float
    loss_after: float
    losses: Mapping[str, float]
    chance: float
    before: Floats
    after: Floats
    own_before: Floats
    own_after: Floats
    rate: float
    head_rate: float
    optimizer: str


@dataclass(frozen=True)
class MemoryVisit:
    """What one visit did to the memory row of an own image.

    Attributes:
        sample: The image.
        row_before: Its row (D,).
        feature: The feature of the visit (D,), unit length.
        row_after: Its row afterwards.
        label_before: Its label.
        label_after: Its label afterwards.
        distances: Distance of the new row to each centroid (K,).
    """

    sample: int
    row_before: Floats
    feature: Floats
    row_after: Floats
    label_before: int
    label_after: int
    distances: Floats


@dataclass(frozen=True)
class MemoryFigures:
    """The memory of an online method.

    Attributes:
        momentum: Weight of the new feature.
        renormalize: Whether rows are scaled to unit length.
        interval: Iterations between refreshes of the centroids.
        min_cluster_size: Smaller clusters are dissolved.
        metric: ``l2`` or ``dot``.
        label_warmup: Epochs in which the config keeps the first labels.
        visits: One for each own image.
    """

    momentum: float
    renormalize: bool
    interval: int
    min_cluster_size: int
    metric: str
    label_warmup: int
    visits: Sequence[MemoryVisit]


@dataclass(frozen=True)
class NextCycle:
    """What training changed.

    Attributes:
        losses: Loss of each step.
        change_ratios: Share of the batch whose label changed, by step; empty for methods that
            cluster between epochs.
        labels: New cluster of each image (N,), under the old numbers that fit best.
        nmi: Agreement of old and new labels.
        overlap: Images by old and new cluster (K, K).
        refills: Clusters that were dissolved and refilled on the way.
    """

    losses: Sequence[float]
    change_ratios: Sequence[float]
    labels: Ints
    nmi: float
    overlap: Ints
    refills: int


@dataclass(frozen=True)
class Exploration:
    """Everything on the page.

    Attributes:
        method: ``ODC``, ``DeepCluster``, ``DeeperCluster`` or another algorithm.
        config: Name of the config.
        origin: Where the weights are from.
        seed: ``randomness.seed``.
        dataset: The data set in words.
        dataset_size: Its images.
        configured_clusters: K of the config, None where it is derived.
        transforms: Who executes the training pipeline.
        calibration_passes: Passes that set the statistics of batch norm beforehand.
        facts: Names of the components and numbers that texts mention.
        own: The images that are followed.
        names: Name of each of the N images.
        thumbnails: Small pictures (N, h, w, 3).
        layers: The network.
        matrices: Stages of the feature matrix; the last one was clustered.
        clustering: The first clustering.
        neighborhoods: One for each own image.
        draws: An epoch of the sampler.
        step: One training step.
        memory: Of online methods, None of others.
        next_cycle: What training changed.
    """

    method: str
    config: str
    origin: str
    seed: int
    dataset: str
    dataset_size: int
    configured_clusters: int | None
    transforms: str
    calibration_passes: int
    facts: Mapping[str, Any]
    own: Sequence[OwnImage]
    names: Sequence[str]
    thumbnails: Picture
    layers: Sequence[Layer]
    matrices: Sequence[Matrix]
    clustering: Clustering
    neighborhoods: Sequence[Neighborhood]
    draws: Draws
    step: TrainingStep
    memory: MemoryFigures | None
    next_cycle: NextCycle

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.thumbnails)

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.clustering.counts)
