"""k-means by faiss, an optional extra."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering.kmeans import Empty, Init, KMeans
from mmdeepcluster.clustering.lloyd import Lloyd, Totals
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import Matrix
from mmdeepcluster.registry import CLUSTERERS


@CLUSTERERS.register_module()
class FaissKMeans(KMeans):
    """The same contract by ``faiss.Kmeans``.

    Start, last assignment and the refill of empty clusters are ours; the iterations between are
    those of faiss, in fp32, all ``max_iters`` of them, with its own repair of empty clusters. They
    run on the GPU if the features are on one and faiss was built for it, and hold the whole matrix
    in memory. Works with faiss 1.7 to 1.15.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        max_iters: Iterations. Defaults to 20.
        num_restarts: As for :class:`KMeans`.
        init: As for :class:`KMeans`.
        spherical: As for :class:`KMeans`.
        empty: As for :class:`KMeans`.

    Raises:
        ImportError: If faiss is not installed.
    """

    distributed = False

    def __init__(
        self,
        num_clusters: int,
        max_iters: int = 20,
        num_restarts: int = 1,
        init: Init = "random",
        spherical: bool = False,
        empty: Empty = "split",
    ) -> None:
        super().__init__(num_clusters, max_iters, num_restarts, init, spherical, empty)
        try:
            import faiss
        except ImportError as error:
            raise ImportError(
                "FaissKMeans needs faiss: pip install mmdeepcluster[faiss], "
                "or use model.clusterer.type='KMeans'"
            ) from error
        self._faiss = faiss

    def fit(
        self,
        features: Matrix,
        seed: int,
        *,
        centroids: Tensor | None = None,
        assignments: Tensor | None = None,
        share: RowShare | None = None,
    ) -> ClusterResult:
        """Clusters the rows (N, D); see :meth:`KMeans.fit`.

        Raises:
            ValueError: As there, and if rows are dealt to several processes.
        """
        if share is not None and share.world_size > 1:
            raise ValueError(
                f"faiss clusters in one process, but rows are dealt to {share.world_size}: use "
                "model.clusterer.type='KMeans'"
            )
        return super().fit(
            features, seed, centroids=centroids, assignments=assignments, share=share
        )

    def _iterate(
        self, run: Lloyd, centroids: Tensor, totals: Totals | None
    ) -> tuple[Totals, tuple[float, ...], int]:
        source = run.points.source
        kmeans = self._faiss.Kmeans(
            source.dim,
            self.num_clusters,
            niter=self.max_iters,
            spherical=self.spherical,
            seed=int(torch.randint(2**31, (), generator=run.generator)),
            max_points_per_centroid=len(source),  # every point is used; faiss would subsample
            min_points_per_centroid=1,
            gpu=run.points.device.type == "cuda" and self._faiss.get_num_gpus() > 0,
        )
        matrix = source.rows(0, len(source)).cpu().contiguous().numpy()
        kmeans.train(matrix, init_centroids=centroids.cpu().numpy())
        means = torch.from_numpy(kmeans.centroids).to(run.points.device)
        return run.assign(means), (), self.max_iters
