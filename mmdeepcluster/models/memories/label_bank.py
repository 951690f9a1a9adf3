"""Pseudo-labels of all samples, addressed by sample index."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdeepcluster.registry import MEMORIES


@MEMORIES.register_module()
class LabelBank(nn.Module):
    """One cluster id for each of the N samples, and the size of each of the K clusters.

    Labels are looked up here by ``sample_idx`` and never live in the dataset, so that no data
    worker can hold a stale copy. The sizes are a running sum: an update costs O(batch).

    The buffers are not persistent: they are saved in global sample order by
    ``algorithm.cluster_state()``, and a distributed wrapper must not broadcast them.

    Args:
        num_samples: N. Derived from the data set in a config.
        num_clusters: K. Derived from ``model.num_clusters`` in a config.
    """

    derived_keys = {"num_samples": "the data set", "num_clusters": "model.num_clusters"}

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
        labels = torch.zeros(num_samples, dtype=torch.int64)
        counts = torch.zeros(num_clusters, dtype=torch.int64)
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("prev_labels", labels.clone(), persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("initialized", torch.tensor(False), persistent=False)

    @torch.no_grad()
    def assign_all(self, assignments: Tensor) -> None:
        """Replaces the label of every sample at once.

        Args:
            assignments: Cluster of each sample, int64 (N,), every cluster occurring.

        Raises:
            ValueError: If the length, the range, or an empty cluster is wrong.
        """
        if assignments.shape != self.labels.shape:
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
        self.labels.copy_(assignments)
        self.prev_labels.copy_(assignments)
        self.counts.copy_(counts)
        self.initialized.fill_(True)

    def lookup(self, sample_idx: Tensor) -> Tensor:
        """Current labels (B,) of the samples (B,)."""
        return self.labels[sample_idx]

    @torch.no_grad()
    def snapshot(self) -> Tensor:
        """Keeps the current labels as ``prev_labels`` and returns those kept before, (N,)."""
        before = self.prev_labels.clone()
        self.prev_labels.copy_(self.labels)
        return before

    def state(self) -> dict[str, Tensor]:
        """The buffers by name, on the CPU, in global sample order."""
        return {name: buffer.detach().cpu().clone() for name, buffer in self.named_buffers()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Takes over what :meth:`state` returned.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape.
        """
        buffers = dict(self.named_buffers())
        if state.keys() != buffers.keys():
            raise ValueError(
                f"cluster state holds {sorted(state)}, {type(self).__name__} needs "
                f"{sorted(buffers)}"
            )
        for name, value in state.items():
            if value.shape != buffers[name].shape:
                raise ValueError(
                    f"cluster state {name} has shape {tuple(value.shape)}, expected "
                    f"{tuple(buffers[name].shape)}"
                )
        for name, value in state.items():
            buffers[name].copy_(value)
