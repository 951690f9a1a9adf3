"""From images to features and clusters in one module, as it is exported."""

from __future__ import annotations

from torch import Tensor, nn

from mmdeepcluster.clustering import Assigner
from mmdeepcluster.clustering.functional import Metric, l2_normalize, scores
from mmdeepcluster.models.necks import global_average_pool
from mmdeepcluster.models.preprocessor import ImagePreprocessor


class ClusterNetwork(nn.Module):
    """Normalisation, backbone, neck, and the rule of an :class:`Assigner` in plain tensors.

    Outputs equal those of ``assigner.assign`` on the features, but for the rounding of sums.

    Args:
        preprocessor: Normalisation of the images.
        backbone: The backbone.
        neck: The neck, or None.
        assigner: The rule of the clusters, or None for features alone.
    """

    def __init__(
        self,
        preprocessor: ImagePreprocessor,
        backbone: nn.Module,
        neck: nn.Module | None,
        assigner: Assigner | None,
    ) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.backbone = backbone
        self.neck = neck
        self.metric: Metric | None = None
        self.normalize = False
        if assigner is not None:
            transform = assigner.feature_transform
            self.metric, self.normalize = assigner.metric, transform.normalize
            self.register_buffer("centroids", assigner.centroids)
            self.register_buffer("mean", transform.mean)
            self.register_buffer("projection", transform.projection)

    centroids: Tensor
    mean: Tensor | None
    projection: Tensor | None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features (B, D_in), and with an assigner cluster (B,) and distance (B,).

        Args:
            images: Images (B, C, H, W) in 0..1.
        """
        inputs = (images * 255.0 - self.preprocessor.mean) / self.preprocessor.std
        features = self.backbone(inputs)[-1]
        if self.neck is not None:
            features = self.neck(features)
        features = global_average_pool(features).float()
        if self.metric is None:
            return (features,)
        rows = features
        if self.mean is not None and self.projection is not None:
            rows = (rows - self.mean) @ self.projection
        if self.normalize:
            rows = l2_normalize(rows)
        similarity = scores(rows, self.centroids, self.metric)
        cluster = similarity.argmax(dim=1)
        best = similarity.amax(dim=1)
        if self.metric == "dot":
            return features, cluster, -best
        distance = (rows.square().sum(dim=1) - best).clamp_min(0).sqrt()
        return features, cluster, distance
