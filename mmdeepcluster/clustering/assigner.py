"""Assigns features, of old or new images, to the clusters that a training ended with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import (
    METRICS,
    check_features,
    check_metric,
    scores,
    tile_rows,
)
from mmdeepcluster.clustering.linear_transform import LinearTransform


class Assignment(NamedTuple):
    """Clusters of N features.

    Attributes:
        cluster: Nearest centroid, int64 (N,).
        distance: Euclidean distance to it, or the negative product for ``dot``, fp32 (N,).
        margin: How much farther the second nearest is, at least 0, fp32 (N,); infinity when there
            is only one centroid.
    """

    cluster: Tensor
    distance: Tensor
    margin: Tensor


class Assigner:
    """Feature transform, centroids and metric: one rule for training, export and new images.

    The transform is a :class:`mmdeepcluster.clustering.LinearTransform`: ``mean``, ``projection``
    and ``normalize`` are those of what ``PCAWhitening.fit`` returns.

    Args:
        centroids: Centroids (K, D) in the transformed space.
        metric: ``l2`` or ``dot``.
        normalize: Whether rows are scaled to unit length.
        mean: Mean (D_in,) to subtract, or None.
        projection: Matrix (D_in, D), or None.

    Raises:
        ValueError: If shapes disagree, a value is not finite, or the metric is unknown.
    """

    def __init__(
        self,
        centroids: Tensor,
        *,
        metric: str = "l2",
        normalize: bool = True,
        mean: Tensor | None = None,
        projection: Tensor | None = None,
    ) -> None:
        check_features(centroids, "centroids")
        self.feature_transform = LinearTransform(mean, projection, normalize)
        if projection is not None and projection.shape[1] != centroids.shape[1]:
            raise ValueError(
                f"projection gives {projection.shape[1]} dimensions, "
                f"centroids have {centroids.shape[1]}"
            )
        self.centroids = centroids.float()
        self.metric = check_metric(metric)

    @property
    def num_clusters(self) -> int:
        """K, the number of centroids."""
        return len(self.centroids)

    @property
    def feature_dim(self) -> int:
        """Width that features must have before the transform."""
        projection = self.feature_transform.projection
        return self.centroids.shape[1] if projection is None else len(projection)

    def transform(self, features: Tensor) -> Tensor:
        """Applies the feature transform to (N, D_in), in fp32."""
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise ValueError(
                f"features must be (N, {self.feature_dim}), got {tuple(features.shape)}"
            )
        return self.feature_transform(features)

    def assign(self, features: Tensor) -> Assignment:
        """Nearest centroid, distance and margin of features (N, D_in), in tiles.

        Raises:
            ValueError: If the width is wrong or a row holds NaN or infinity.
        """
        check_features(features)
        centroids = self.centroids.to(features.device)
        parts = [
            self._assign_tile(self.transform(tile), centroids)
            for tile in features.split(tile_rows(len(centroids)))
        ]
        return Assignment(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _assign_tile(self, rows: Tensor, centroids: Tensor) -> Assignment:
        similarity = scores(rows, centroids, self.metric)
        # argmax, not topk: of equal scores the lowest index must win, as in training
        cluster = similarity.argmax(dim=1)
        best = similarity.gather(1, cluster[:, None])[:, 0]
        similarity.scatter_(1, cluster[:, None], -torch.inf)
        second = similarity.amax(dim=1)
        if self.metric == "dot":
            return Assignment(cluster, -best, best - second)
        squares = rows.square().sum(dim=1)
        distance = (squares - best).clamp_min(0).sqrt()
        return Assignment(cluster, distance, (squares - second).clamp_min(0).sqrt() - distance)

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors for a checkpoint."""
        transform = self.feature_transform
        state = {
            "centroids": self.centroids.cpu(),
            "metric": torch.tensor(METRICS.index(self.metric)),
            "normalize": torch.tensor(transform.normalize),
        }
        if transform.mean is not None and transform.projection is not None:
            state |= {"mean": transform.mean.cpu(), "projection": transform.projection.cpu()}
        return state

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Assigner:
        """The inverse of :meth:`state_dict`."""
        return cls(
            state["centroids"],
            metric=METRICS[int(state["metric"])],
            normalize=bool(state["normalize"]),
            mean=state.get("mean"),
            projection=state.get("projection"),
        )
