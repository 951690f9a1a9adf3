"""The verbs that hooks call and the state that algorithms own."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from mmengine.dist import broadcast, is_main_process
from torch import Tensor, nn

from mmdeepcluster.clustering import Assigner, DrawGroup, Partition, RowShare
from mmdeepcluster.models.algorithms.feature_model import FeatureModel
from mmdeepcluster.models.algorithms.head_group import HeadGroup
from mmdeepcluster.models.algorithms.memory_estimate import MemoryEstimate

ASSIGNER_PREFIX = "assigner."


class Reclustering(NamedTuple):
    """What one global clustering reports.

    Attributes:
        objective: Mean squared distance to the centroids, in the space that was clustered.
        num_iters: Iterations of the clusterer.
        seconds: Wall time by phase.
        rewritten: Parameters of the head that were written anew.
    """

    objective: float
    num_iters: int
    seconds: dict[str, float]
    rewritten: tuple[nn.Parameter, ...] = ()


class MainFit(NamedTuple):
    """What a clustering by the main process alone found, on every process.

    Attributes:
        assignments: Cluster of each sample, int64 (N,).
        num_clusters: Number of clusters that were found.
        objective: As in :class:`Reclustering`.
        num_iters: As in :class:`Reclustering`.
    """

    assignments: Tensor
    num_clusters: int
    objective: float
    num_iters: int


def fit_on_main(
    clusterer: Any, rows: Tensor, num_samples: int, seed: int, **options: Any
) -> MainFit:
    """Lets the main process cluster and tells the others; collective.

    Args:
        clusterer: A clusterer.
        rows: On the main process all rows (N, D); others have them on the same kind of device.
        num_samples: N.
        seed: Seed of the clustering.
        **options: Further arguments of ``clusterer.fit``.
    """
    assignments = torch.empty(num_samples, dtype=torch.int64, device=rows.device)
    figures = torch.zeros(3, dtype=torch.float64, device=rows.device)
    if is_main_process():
        result = clusterer.fit(rows, seed=seed, **options)
        assignments.copy_(result.assignments)
        found = [result.num_clusters, result.objective, result.num_iters]
        figures.copy_(torch.tensor(found, dtype=torch.float64))
    broadcast(assignments)
    broadcast(figures)
    number, objective, num_iters = figures.tolist()
    return MainFit(assignments, int(number), objective, int(num_iters))


class BaseAlgorithm(FeatureModel):
    """A method of deep clustering: what a forward does, and which state it owns.

    Args:
        num_samples: N, written by ``resolve_config`` from the data set.
        num_clusters: K.
        backbone: Config of the backbone.
        neck: Config of the neck; its output is what is clustered.
        data_preprocessor: Config of the preprocessor.
        init_cfg: MMEngine's initialisation of weights.
    """

    # Fewest clusters that there is something to learn from.
    min_clusters = 2

    def __init__(
        self,
        num_samples: int,
        num_clusters: int,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, neck, data_preprocessor, init_cfg)
        self.num_samples = num_samples
        self.num_clusters = num_clusters
        self.cycle = 0
        self.assigner: Assigner | None = None

    @property
    def chance_loss(self) -> float:
        """Loss of a network that guesses."""
        return math.log(self.num_clusters)

    def memory_estimate(self, world_size: int) -> MemoryEstimate | None:
        """What a process of so many needs in training; None where that was not worked out.

        Works on the meta device, where nothing is allocated.
        """
        return None

    @property
    def head_group(self) -> HeadGroup | None:
        """Processes with which this one shares its part of the head, where it holds a part."""
        return None

    @property
    def draw_group(self) -> DrawGroup | None:
        """Which clusters this process draws its samples from; None for all."""
        return None

    def check_images(self, shape: tuple[int, ...]) -> None:
        """Refuses training images (C, H, W) that the method cannot use.

        Raises:
            ValueError: If it cannot.
        """

    def partial_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters, by name, of which this process holds the part of :attr:`head_group`."""
        return {}

    @classmethod
    def config_to_use(cls, model: dict[str, Any]) -> dict[str, Any]:
        """Config of the same model to be used outside of training."""
        return model

    @property
    @abstractmethod
    def initialized(self) -> bool:
        """Whether there is a clustering to learn from."""

    @property
    @abstractmethod
    def partition(self) -> Partition:
        """Which samples this process owns."""

    @abstractmethod
    def shard(self, partition: Partition) -> None:
        """Keeps state for the samples of this process alone, before there is any."""

    @abstractmethod
    def labels(self) -> Tensor:
        """Current pseudo-label of each sample, int64 (N,) on the CPU; collective."""

    @property
    @abstractmethod
    def cluster_counts(self) -> Tensor:
        """Current size of each cluster over all processes, int64 (K,)."""

    @abstractmethod
    def loss(self, inputs: Tensor, sample_idx: Tensor) -> dict[str, Tensor]:
        """Losses of a batch under the labels held before this iteration."""

    @abstractmethod
    def recluster(self, features: Tensor, seed: int) -> Reclustering:
        """Takes labels from one global clustering; collective.

        Args:
            features: Features (M, D) of the samples that this process hands in.
            seed: Seed of the clustering.
        """

    @abstractmethod
    def feature_sample(self, max_rows: int, seed: int) -> Tensor:
        """Seeded sample (M, D) of the features that are clustered, for diagnostics; collective."""

    @abstractmethod
    def snapshot_labels(self) -> tuple[Tensor | None, Tensor]:
        """Labels (N,) before (None where there were none) and now, to be compared; collective."""

    @abstractmethod
    def finalize(self, features: Tensor, labels: Tensor, share: RowShare | None = None) -> Assigner:
        """Fits the assigner on evaluation-mode features; collective with a share.

        The bits do not depend on the number of processes.

        Args:
            features: Features (n, D) of the samples of ``share``.
            labels: What :meth:`labels` returned, int64 (N,).
            share: Which samples those are. Defaults to all of them.
        """

    @abstractmethod
    def memory_state(self) -> dict[str, Tensor]:
        """Tensors of the memories, in global sample order; collective.

        Processes other than the main one get an empty dict.
        """

    @abstractmethod
    def load_memory_state(self, state: dict[str, Tensor]) -> None:
        """Takes over what :meth:`memory_state` returned to the main process; collective."""

    def forward(
        self, inputs: Tensor, sample_idx: Tensor | None = None, mode: str = "tensor"
    ) -> Any:
        """MMEngine's entry: ``loss`` gives losses, ``tensor`` the features that are clustered.

        Args:
            inputs: Normalised images (B, C, H, W).
            sample_idx: Index of each image in the data set, int64 (B,).
            mode: ``loss`` or ``tensor``.

        Raises:
            ValueError: For another mode, or ``loss`` without ``sample_idx``.
        """
        if mode == "tensor":
            return self.extract(inputs, ("neck",))["neck"]
        if mode != "loss" or sample_idx is None:
            raise ValueError(f"mode must be 'loss' (with sample_idx) or 'tensor', got {mode!r}")
        return self.loss(inputs, sample_idx)

    def cluster_state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs besides weights: plain tensors, global sample order.

        Collective: every process must call it; the rows are there on the main process alone.
        """
        state = self.memory_state() | {"cycle": torch.tensor(self.cycle)}
        if self.assigner is not None:
            state |= {f"{ASSIGNER_PREFIX}{k}": v for k, v in self.assigner.state_dict().items()}
        return state

    def load_cluster_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`cluster_state`.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape.
        """
        state = dict(state)
        if "cycle" not in state:
            raise ValueError(f"cluster state has no 'cycle', it holds {sorted(state)}")
        assigner = {
            name.removeprefix(ASSIGNER_PREFIX): state.pop(name)
            for name in list(state)
            if name.startswith(ASSIGNER_PREFIX)
        }
        cycle = int(state.pop("cycle"))
        self.load_memory_state(state)
        self.cycle = cycle
        self.assigner = Assigner.from_state_dict(assigner) if assigner else None


class OnlineAlgorithm(BaseAlgorithm):
    """A method whose clusters follow the training features, iteration by iteration.

    The hook of such methods calls these verbs after each optimizer step.
    """

    @property
    @abstractmethod
    def centroids_update_interval(self) -> int:
        """Iterations between calls of :meth:`refresh_centroids`."""

    @property
    @abstractmethod
    def rows_to_cluster(self) -> Tensor | None:
        """Samples whose features this process hands to :meth:`recluster`; None for all."""

    @abstractmethod
    def update_memory(self, reassign: bool = True) -> dict[str, Tensor]:
        """Writes the features of the last batch into the memory; returns scalars for the log.

        Labels follow the features unless ``reassign`` is False.
        """

    @abstractmethod
    def refresh_centroids(self) -> None:
        """Recomputes the centroids from the memory."""

    @abstractmethod
    def balance_clusters(self, wait: bool = True) -> list[tuple[nn.Parameter, int]]:
        """Dissolves small clusters; returns parameters and rows that now mean another cluster.

        Without ``wait`` a GPU is not waited for: those are dissolved that it knew of at the call
        before.
        """


__all__ = ["BaseAlgorithm", "OnlineAlgorithm", "Reclustering"]
