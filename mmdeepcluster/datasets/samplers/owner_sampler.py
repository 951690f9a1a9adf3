"""Which samples a rank draws, in which order, and with which augmentation.

A rank draws the samples that it owns: see :mod:`mmdeepcluster.clustering.partition`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from mmdeepcluster.clustering import Partition
from mmdeepcluster.registry import DATA_SAMPLERS

# Differs from the word of the partition, so that the two are independent.
_EPOCH_KEY = 2


class Draw(NamedTuple):
    """One draw of a sample.

    Attributes:
        index: position of the sample in the data set.
        seed: seed of the augmentation of this draw.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    seed: int


@DATA_SAMPLERS.register_module()
class OwnerSampler(Sampler[Draw]):
    """Draws each sample of this rank once an epoch, in a new order and with new seeds.

    The draws are a function of (seed, epoch, rank) and of the partition, which is a function of
    (seed, num_samples, world_size). Number of data workers, batch size and the state of global
    generators do not enter.

    Args:
        num_samples: size of the data set, N.
        seed: seed of the run, from 0 on.
        rank: number of this process.
        world_size: number of processes, W.

    Attributes:
        owned: sorted indices of this rank's samples, int64 of shape (ceil(N/W),) or one fewer.
        epoch: number of the epoch that the next iteration draws.

    Raises:
        ValueError: a negative seed, a rank outside ``[0, world_size)``, or fewer samples than
            processes.
    """

    derived_keys = {
        "num_samples": "the data set",
        "seed": "randomness.seed",
        "rank": "the launcher",
        "world_size": "the launcher",
    }

    def __init__(self, num_samples: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.partition = Partition(num_samples, seed, rank, world_size)
        self.num_samples = num_samples
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.owned = self.partition.owned

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 0, whose draws the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws an epoch, the same on every rank: ceil(N / W)."""
        return self.partition.max_owned

    def __iter__(self) -> Iterator[Draw]:
        generator = self._generator(_EPOCH_KEY, self.epoch, self.rank)
        indices = generator.permutation(self.owned.numpy())
        # A rank with one sample fewer repeats its first draw: the one that is furthest away from
        # the end of the epoch, so that a batch holds it once if there are two batches or more.
        indices = np.resize(indices, len(self))
        seeds = generator.integers(0, 2**63, size=len(self), dtype=np.int64)
        for index, seed in zip(indices.tolist(), seeds.tolist(), strict=True):
            yield Draw(index, seed)

    def _generator(self, *key: int) -> np.random.Generator:
        """A generator for this purpose; SeedSequence hashes seed and key into its state."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
