"""Pseudo-labels of all samples, addressed by sample index."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdeepcluster.clustering import Partition
from mmdeepcluster.registry import MEMORIES


@MEMORIES.register_module()
class LabelBank(nn.Module):
    """One cluster id for each of the N samples, and the size of each of the K clusters.

    Labels are looked up here by ``sample_idx`` and never live in the dataset, so that no data
    worker can hold a stale copy. The sizes are a running sum: an update costs O(batch).

    With several processes each holds the rows of the samples that it owns (:meth:`shard`), and
    the sizes of all clusters. Methods that say so are collective: every process must call them.

    The buffers are not persistent: they are saved in global sample order by
    ``algorithm.cluster_state()``, and a distributed wrapper must not broadcast them.

    Args:
        num_samples: N. Derived from the data set in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
    """

    derived_keys = {"num_samples": "the data set", "num_clusters": "model.num_clusters"}
    # Buffers with one row for each sample, and those that are the same on every process.
    row_buffers: tuple[str, ...] = ("labels", "prev_labels")
    shared_buffers: tuple[str, ...] = ("counts", "initialized")

    labels: Tensor
    prev_labels: Tensor
    counts: Tensor
    initialized: Tensor

    def __init__(self, num_samples: int, num_clusters: int) -> None:
        super().__init__()
        if not 1 <= num_clusters <= num_samples:
            raise ValueError(
                f"num_clusters ({num_clusters}) must lie between 1 and num_samples ({num_samples})"
            )
        self.num_samples = num_samples
        self.num_clusters = num_clusters
        self.partition = Partition(num_samples)
        labels = torch.zeros(num_samples, dtype=torch.int64)
        counts = torch.zeros(num_clusters, dtype=torch.int64)
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("prev_labels", labels.clone(), persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("initialized", torch.tensor(False), persistent=False)

    def shard(self, partition: Partition) -> None:
        """Keeps rows for the samples of this process alone, before anything was filled.

        Raises:
            ValueError: If the partition is of another number of samples.
            RuntimeError: If there is a clustering already.
        """
        if partition.num_samples != self.num_samples:
            raise ValueError(
                f"the partition is of {partition.num_samples} samples, the memory of "
                f"{self.num_samples}"
            )
        if bool(self.initialized):
            raise RuntimeError("a filled memory cannot be dealt to other processes")
        self.partition = partition
        for name in self.row_buffers:
            buffer: Tensor = getattr(self, name)
            setattr(self, name, buffer.new_zeros(partition.num_owned, *buffer.shape[1:]))

    @torch.no_grad()
    def assign_all(self, assignments: Tensor) -> None:
        """Replaces the label of every sample at once.

        Args:
            assignments: Cluster of each of the N samples, the same on every process, int64 (N,),
                every cluster occurring.

        Raises:
            ValueError: If the length, the range, or an empty cluster is wrong.
        """
        if assignments.shape != (self.num_samples,):
            raise ValueError(
                f"expected {self.num_samples} assignments, got {tuple(assignments.shape)}"
            )
        assignments = assignments.to(self.labels)
        if int(assignments.min()) < 0 or int(assignments.max()) >= self.num_clusters:
            raise ValueError(f"assignments leave the range [0, {self.num_clusters})")
        counts = torch.bincount(assignments, minlength=self.num_clusters)
        if int(counts.min()) == 0:
            empty = int((counts == 0).sum())
            raise ValueError(f"{empty} of {self.num_clusters} clusters are empty")
        own = self.partition.own(assignments)
        self.labels.copy_(own)
        self.prev_labels.copy_(own)
        self.counts.copy_(counts)
        self.initialized.fill_(True)

    def lookup(self, sample_idx: Tensor) -> Tensor:
        """Current labels (B,) of samples (B,) that this process owns."""
        return self.labels[self.partition.to_local(sample_idx)]

    def all_labels(self) -> Tensor:
        """Labels (N,) of all samples, on the CPU; collective."""
        return self.partition.gather(self.labels)

    @torch.no_grad()
    def snapshot(self) -> tuple[Tensor, Tensor]:
        """Labels (N,) at the last snapshot and now, on the CPU; keeps those of now. Collective."""
        before, now = self.partition.gather(self.prev_labels), self.all_labels()
        self.prev_labels.copy_(self.labels)
        return before, now

    def state(self) -> dict[str, Tensor]:
        """The buffers by name, on the CPU and in global sample order.

        Collective: every process must call it, and all but the main one get an empty dict.
        """
        rows = {n: self.partition.gather_on_main(getattr(self, n)) for n in self.row_buffers}
        shared = {n: value.detach().cpu().clone() for n, value in self.shared_state().items()}
        gathered = {name: value for name, value in rows.items() if value is not None}
        return gathered | shared if gathered else {}

    def shared_state(self) -> dict[str, Tensor]:
        """Tensors that are the same on every process; collective."""
        return {name: getattr(self, name) for name in self.shared_buffers}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Takes over what :meth:`state` returned, of any number of processes. Collective.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape, or if they do not
                agree with each other.
        """
        expected = {
            name: (self.num_samples, *getattr(self, name).shape[1:]) for name in self.row_buffers
        } | {name: tuple(getattr(self, name).shape) for name in self.shared_buffers}
        if state.keys() != expected.keys():
            raise ValueError(
                f"cluster state holds {sorted(state)}, {type(self).__name__} needs "
                f"{sorted(expected)}"
            )
        for name, value in state.items():
            if tuple(value.shape) != expected[name]:
                raise ValueError(
                    f"cluster state {name} has shape {tuple(value.shape)}, expected "
                    f"{expected[name]}"
                )
        for name in self.row_buffers:
            getattr(self, name).copy_(self.partition.own(state[name]))
        for name in self.shared_buffers:
            getattr(self, name).copy_(state[name])
        self._check_consistent(state)

    def _check_consistent(self, state: dict[str, Tensor]) -> None:
        """Refuses a state whose tensors disagree; collective."""
        labels = state["labels"]
        in_range = bool(((labels >= 0) & (labels < self.num_clusters)).all())
        counts = torch.bincount(labels, minlength=self.num_clusters) if in_range else None
        if counts is None or not torch.equal(counts, self.counts.cpu()):
            raise ValueError("labels and cluster sizes of the cluster state disagree: damaged")
