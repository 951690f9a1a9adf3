"""Assigns features, of old or new images, to the clusters that a training ended with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.covariance import full_fp32
from mmdeepcluster.clustering.functional import METRICS, check_features, check_metric, scores
from mmdeepcluster.clustering.linear_transform import LinearTransform
from mmdeepcluster.clustering.row_share import ROW_TILE

# Scores at once: 1 GiB in fp32 for 262,144 centroids or more, less for fewer. Smaller products
# would read all centroids again for few rows.
_MOST_SCORES = 1 << 28


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
        self._check_width(features)
        return self.feature_transform(features)

    def _check_width(self, features: Tensor) -> None:
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise ValueError(
                f"features must be (N, {self.feature_dim}), got {tuple(features.shape)}"
            )

    @torch.no_grad()
    def assign(self, features: Tensor, device: torch.device | None = None) -> Assignment:
        """Nearest centroid, distance and margin of features (N, D_in), in tiles.

        A row gets the same bits in any share of whole tiles
        (:class:`mmdeepcluster.clustering.RowShare`).

        Args:
            features: Rows (N, D_in); the share of a process may be empty.
            device: Where tiles of them are compared. Defaults to where they are.

        Raises:
            ValueError: If the width is wrong or a row holds NaN or infinity.
        """
        self._check_width(features)
        if len(features):
            check_features(features)
        device = device or features.device
        transform, centroids = self.feature_transform.to(device), self.centroids.to(device)
        empty = features.new_empty(0, dtype=torch.float32)
        parts = [Assignment(empty.long(), empty, empty)]
        with full_fp32():
            for tile in features.split(ROW_TILE):
                rows = transform(tile.to(device))
                for part in rows.split(_rows_at_once(self.num_clusters)):
                    found = self._assign_tile(part, centroids)
                    parts.append(Assignment(*(column.to(features.device) for column in found)))
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


def _rows_at_once(num_clusters: int) -> int:
    """Rows that are compared at once: a power of two, so that tiles split alike in any share."""
    rows = max(1, min(ROW_TILE, _MOST_SCORES // num_clusters))
    return 1 << (rows.bit_length() - 1)
