"""Seeded k-means on a feature matrix: any torch device, one process or several."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from mmdeepcluster.clustering.empty_clusters import drop_empty, split_largest
from mmdeepcluster.clustering.fast_assign import SearchRows, nearest_certified
from mmdeepcluster.clustering.functional import Metric, check_features
from mmdeepcluster.clustering.kmeans_init import random_rows, spread_rows
from mmdeepcluster.clustering.lloyd import Lloyd, Totals
from mmdeepcluster.clustering.points import Points
from mmdeepcluster.clustering.result import ClusterResult
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import Matrix
from mmdeepcluster.registry import CLUSTERERS

Init = Literal["random", "k-means++"]
Empty = Literal["split", "compact"]


@CLUSTERERS.register_module()
class KMeans:
    """Lloyd's algorithm, all points used, no cluster empty in what it returns.

    Labels are exact: each is that of a brute-force search in fp64, lowest index on ties
    (:mod:`.fast_assign`), and sums do not depend on their order (:mod:`.points`). So labels,
    centroids and objective are the same bits for any number of processes and threads.

    Beside the features, a copy in bf16 is held where products in bf16 are fast (half the size of
    the features in fp32; none of a memory map), and two matrices (K, D) in fp64.

    A cluster that lost its members gets a perturbed copy of the largest cluster's centroid.

    Args:
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
        max_iters: Most iterations, each an update of the centroids and an assignment; stops earlier
            when no label changes. Defaults to 20, the value of DeepCluster and ODC.
        num_restarts: Runs from different starts, of which the one with the lowest objective is
            kept. A run from given centroids or labels is not repeated. Defaults to 1.
        init: Start of a run for which none is given: ``random`` rows, or ``k-means++``
            (:func:`.kmeans_init.spread_rows`).
        spherical: Whether centroids are scaled to unit length and the largest product wins. Rows
            must have unit length.
        empty: What is done about clusters that are empty in the end. ``split`` divides the largest
            ones until there are K; ``compact`` leaves them out, and ``num_clusters`` of the result
            may be less than K.

    Raises:
        ValueError: If an argument has no sense.
    """

    derived_keys = {"num_clusters": "model.num_clusters"}
    # Whether processes can cluster together, each with its share of the rows.
    distributed = True

    def __init__(
        self,
        num_clusters: int,
        max_iters: int = 20,
        num_restarts: int = 1,
        init: Init = "random",
        spherical: bool = False,
        empty: Empty = "split",
    ) -> None:
        for name, value in (
            ("num_clusters", num_clusters),
            ("max_iters", max_iters),
            ("num_restarts", num_restarts),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, choice, choices in (("init", init, Init), ("empty", empty, Empty)):
            if choice not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {choice!r}")
        self.num_clusters = num_clusters
        self.max_iters = max_iters
        self.num_restarts = num_restarts
        self.init = init
        self.spherical = spherical
        self.empty = empty

    def fit(
        self,
        features: Matrix,
        seed: int,
        *,
        centroids: Tensor | None = None,
        assignments: Tensor | None = None,
        share: RowShare | None = None,
    ) -> ClusterResult:
        """Clusters the rows.

        Args:
            features: Matrix (N, D) of any float type, computed in fp32: a tensor, an array, or a
                memory map larger than memory, which is read in chunks.
            seed: The same seed and features give the same labels.
            centroids: Start (K, D), for example those of an earlier result.
            assignments: Start by a partition, int64 (N,), for example that of an earlier result.
                Its means are the first centroids, so it stays good when the axes of the features
                turned meanwhile, as those of a PCA do. Ids are in [0, K).
            share: ``features`` are these rows alone, and all processes cluster together. Each
                iteration sends one message of ``8 K (D + 1) + 8`` bytes. ``centroids`` and
                ``assignments`` are still those of all, the latter of all N rows.

        Returns:
            The run with the lowest objective, for all N rows on every process.

        Raises:
            ValueError: If N is less than K, a row holds NaN or infinity or, if spherical, has not
                unit length, or a start has a wrong shape.
        """
        points = Points(features, share)
        self._check(points, centroids, assignments)
        generator = torch.Generator().manual_seed(seed)
        rows = SearchRows(points.source, self._metric, points.mean, keep=True)
        given = centroids is not None or assignments is not None
        runs = []
        for _ in range(1 if given else self.num_restarts):
            run = Lloyd(points, self.num_clusters, self.spherical, generator, rows)
            runs.append(self._run(run, centroids, assignments))
        return min(runs, key=lambda result: result.objective)

    def predict(self, features: Matrix, centroids: Tensor | ClusterResult) -> Tensor:
        """Nearest centroid of each row of (N, D), int64 (N,).

        Args:
            features: As for :meth:`fit`.
            centroids: Centroids (K, D), or the result whose centroids they are.

        Raises:
            ValueError: If widths differ or a number is not finite.
        """
        if isinstance(centroids, ClusterResult):
            centroids = centroids.centroids
        return nearest_certified(features, centroids, self._metric)

    @property
    def _metric(self) -> Metric:
        return "dot" if self.spherical else "l2"

    def _check(self, points: Points, centroids: Tensor | None, assignments: Tensor | None) -> None:
        check_num_samples(points.num_rows, self.num_clusters)
        if self.spherical and not points.unit:
            raise ValueError(
                "spherical k-means needs rows of unit length: apply l2_normalize to the features, "
                "or set spherical=False"
            )
        if centroids is not None and assignments is not None:
            raise ValueError("give centroids or assignments as a start, not both")
        if centroids is not None:
            check_features(centroids, "centroids")
            expected = (self.num_clusters, points.dim)
            if centroids.shape != expected:
                raise ValueError(f"centroids must be {expected}, got {tuple(centroids.shape)}")
        if assignments is not None:
            check_assignments(assignments, points.num_rows, self.num_clusters)

    def _run(
        self, run: Lloyd, centroids: Tensor | None, assignments: Tensor | None
    ) -> ClusterResult:
        points, totals = run.points, None
        if assignments is not None:
            own = assignments[points.share.start : points.share.stop]
            totals = run.start_from_labels(own.to(points.device))
            centroids = run.update(totals)
        elif centroids is None:
            choose = random_rows if self.init == "random" else spread_rows
            centroids = choose(points, self.num_clusters, run.generator)
        assert centroids is not None
        totals, objectives, num_iters = self._iterate(
            run, run.finish(centroids.to(points.device).double()), totals
        )
        return self._result(run, totals, objectives, num_iters)

    def _iterate(
        self, run: Lloyd, centroids: Tensor, totals: Totals | None
    ) -> tuple[Totals, tuple[float, ...], int]:
        """Totals in the end, objective after each iteration, and the number of iterations.

        Args:
            run: Labels and sums, which are left as they are in the end.
            centroids: Start (K, D).
            totals: Those of the labels that ``centroids`` are the means of, if there are any; to
                compute them was the first half of an iteration.
        """
        if totals is None:
            centroids = run.update(run.assign(centroids))
        objectives: list[float] = []
        while True:
            totals = run.assign(centroids)
            objectives.append(run.points.mean_distance(totals.sums, totals.counts, centroids))
            if totals.changed == 0 or len(objectives) == self.max_iters:
                return totals, tuple(objectives), len(objectives)
            centroids = run.update(totals)

    def _result(
        self, run: Lloyd, totals: Totals, objectives: tuple[float, ...], num_iters: int
    ) -> ClusterResult:
        points, size = run.points, self.num_clusters
        assert run.labels is not None
        labels = points.share.gather(run.labels)
        sums, counts, _ = totals
        if bool((counts == 0).any()) and self.empty == "compact":
            labels = drop_empty(labels, size)
            sums, counts = sums[counts > 0], counts[counts > 0]
        elif bool((counts == 0).any()):
            labels = split_largest(points, labels, size, run.generator)
            own = labels[points.share.start : points.share.stop]
            sums, counts, _ = run.start_from_labels(own)
        centroids = run.finish(sums / counts.unsqueeze(1))
        return ClusterResult(
            assignments=labels,
            centroids=centroids,
            counts=counts,
            objective=points.mean_distance(sums, counts, centroids),
            num_iters=num_iters,
            objectives=objectives,
        )


def check_num_samples(num_samples: int, num_clusters: int) -> None:
    """Refuses N < K.

    Raises:
        ValueError: If there are fewer rows than clusters.
    """
    if num_samples < num_clusters:
        raise ValueError(
            f"cannot make {num_clusters} clusters from {num_samples} samples: "
            "lower model.num_clusters or give more images"
        )


def check_assignments(assignments: Tensor, num_samples: int, num_clusters: int) -> None:
    """Refuses what is no partition of N rows into clusters [0, K).

    Raises:
        ValueError: If the shape, the type or an id is wrong.
    """
    if assignments.dtype != torch.int64 or assignments.shape != (num_samples,):
        raise ValueError(
            f"assignments must be int64 ({num_samples},), got {assignments.dtype} "
            f"{tuple(assignments.shape)}"
        )
    low, high = int(assignments.min()), int(assignments.max())
    if low < 0 or high >= num_clusters:
        raise ValueError(
            f"assignments lie in [{low}, {high}] but there are {num_clusters} clusters"
        )
