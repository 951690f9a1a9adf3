"""As many draws from a small cluster as from a large one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from mmdeepcluster.datasets.samplers.owner_sampler import Draw
from mmdeepcluster.registry import DATA_SAMPLERS

# Differs from the words of the partition and of OwnerSampler, so that all are independent.
_EPOCH_KEY = 3
MODES = ("uniform", "official")


@DATA_SAMPLERS.register_module()
class UniformClusterSampler(Sampler[Draw]):
    """Draws the clusters equally often (DeepCluster, arXiv 1807.05520, section 3.3).

    An epoch takes ``floor(N / K') + 1`` draws from each of the K' clusters that have members, with
    replacement where there are fewer members than that, shuffles them and keeps the first N. Rank
    r takes draws r, r + W, r + 2 W, ... of this order, which is a function of (seed, epoch, labels)
    alone. Until :meth:`set_labels` each sample is drawn once.

    The released DeepCluster draws indices of the data set, but looks them up in a list of the
    images that is ordered by cluster. Labels stay right, and clusters are drawn about as often as
    they are large. ``mode='official'`` does the same, to compare with its published results.

    Args:
        num_samples: size of the data set, N.
        seed: seed of the run, from 0 on.
        rank: number of this process.
        world_size: number of processes, W.
        mode: ``uniform``, or ``official`` as above. Changes results.

    Raises:
        ValueError: a negative seed, a rank outside ``[0, world_size)``, fewer samples than
            processes, or an unknown mode.
    """

    derived_keys = {
        "num_samples": "the data set",
        "seed": "randomness.seed",
        "rank": "the launcher",
        "world_size": "the launcher",
    }

    def __init__(
        self,
        num_samples: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        mode: str = "uniform",
    ) -> None:
        if seed < 0:
            raise ValueError(f"randomness.seed must be at least 0, got {seed}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is outside [0, {world_size})")
        if num_samples < world_size:
            raise ValueError(f"{num_samples} samples cannot be dealt to {world_size} processes")
        if mode not in MODES:
            raise ValueError(f"train_dataloader.sampler.mode must be one of {MODES}, got {mode!r}")
        self.num_samples = num_samples
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.mode = mode
        self.epoch = 0
        self._members: list[np.ndarray] = [np.arange(num_samples)]

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 0, whose draws the next iteration yields."""
        self.epoch = epoch

    def set_labels(self, labels: Tensor) -> None:
        """Takes the clusters to draw from, for the iterations that start from now on.

        Args:
            labels: Cluster of each sample, int64 (N,).

        Raises:
            ValueError: There is not one label for each sample.
        """
        if labels.shape != (self.num_samples,):
            raise ValueError(f"expected {self.num_samples} labels, got {tuple(labels.shape)}")
        found = labels.cpu()
        order = found.argsort(stable=True).numpy()
        sizes = torch.bincount(found).numpy()
        parts = np.split(order, np.cumsum(sizes)[:-1])
        self._members = [members for members in parts if len(members)]

    def __len__(self) -> int:
        """Draws an epoch, the same on every rank: ceil(N / W)."""
        return -(-self.num_samples // self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        key = np.random.SeedSequence(self.seed, spawn_key=(_EPOCH_KEY, self.epoch))
        generator = np.random.default_rng(key)
        indices = self._indices(generator)
        seeds = generator.integers(0, 2**63, size=self.num_samples, dtype=np.int64)
        # Ranks that would have one draw fewer wrap around to the start of the order.
        mine = np.arange(self.rank, len(self) * self.world_size, self.world_size)
        mine %= self.num_samples
        for index, seed in zip(indices[mine].tolist(), seeds[mine].tolist(), strict=True):
            yield Draw(index, seed)

    def _indices(self, generator: np.random.Generator) -> np.ndarray:
        """Samples (N,) of an epoch, over all ranks."""
        if len(self._members) == 1:
            return generator.permutation(self.num_samples)
        number = self.num_samples // len(self._members) + 1
        drawn = np.concatenate([_draw(members, number, generator) for members in self._members])
        drawn = generator.permutation(drawn)[: self.num_samples]
        return np.concatenate(self._members)[drawn] if self.mode == "official" else drawn


def _draw(members: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """``number`` members, each at most once where there are enough."""
    if len(members) < number:
        return members[generator.integers(len(members), size=number)]
    return generator.permutation(members)[:number]
