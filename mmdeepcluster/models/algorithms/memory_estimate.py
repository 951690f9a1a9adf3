"""How much memory a process will need, before it is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

# A weight, its gradient and its momentum, in fp32.
_COPIES = 3


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one process, without activations, by what they are for.

    Attributes:
        network: Backbone and neck: weights, gradients, momenta.
        head: The same of the classifiers that this process holds.
        labels: Labels of now and before, of all samples.
        clustering: On the device while clusters are computed: transformed rows of this process,
            sums and centroids.
        features: In main memory meanwhile: features of the rows of this process.
    """

    network: int
    head: int
    labels: int
    clustering: int
    features: int

    @classmethod
    def of_training(
        cls,
        *,
        network_weights: int,
        head_weights: int,
        num_samples: int,
        feature_dim: int,
        clustered_dim: int,
        num_clusters: int,
        clusters_at_once: int,
        world_size: int,
    ) -> MemoryEstimate:
        """From numbers of weights and sizes.

        Args:
            network_weights: Of backbone and neck.
            head_weights: Of the classifiers that this process holds.
            num_samples: N.
            feature_dim: Width of the features.
            clustered_dim: Width of what is clustered.
            num_clusters: K.
            clusters_at_once: Clusters of one k-means, whose sums are held in fp64 twice.
            world_size: Processes.
        """
        rows = -(-num_samples // world_size)
        return cls(
            network=4 * _COPIES * network_weights,
            head=4 * _COPIES * head_weights,
            labels=2 * 8 * num_samples,
            clustering=4 * rows * clustered_dim
            + 2 * 8 * clusters_at_once * (clustered_dim + 1)
            + 4 * num_clusters * clustered_dim,
            features=4 * rows * feature_dim,
        )

    @property
    def device(self) -> int:
        """The most that is needed on the device at once."""
        return self.network + self.head + self.labels + self.clustering

    def __str__(self) -> str:
        device, network, head, labels, clustering, features = map(
            readable,
            (
                self.device,
                self.network,
                self.head,
                self.labels,
                self.clustering,
                self.features,
            ),
        )
        return (
            f"{device} without activations (network {network}, head {head}, labels {labels}, "
            f"clustering {clustering}), and {features} of features in main memory"
        )


def device_memory() -> int:
    """Bytes of the GPU of this process, or its part of the main memory where there is none."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    return main_memory()


def main_memory() -> int:
    """Bytes of main memory that one process of this machine may use.

    What the machine has, or a container may use where that is less, divided by the processes that
    the launcher started here.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def readable(number: float) -> str:
    """Bytes in the unit that fits."""
    exponent = 1 if number < 1 << 20 else 2 if number < 1 << 30 else 3
    return f"{number / 1024**exponent:.1f} {' KMG'[exponent]}iB"
