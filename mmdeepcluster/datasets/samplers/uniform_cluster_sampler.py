"""As many draws from a small cluster as from a large one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from mmdeepcluster.clustering import DrawGroup
from mmdeepcluster.datasets.samplers.owner_sampler import Draw
from mmdeepcluster.registry import DATA_SAMPLERS

# Differs from the words of the partition and of OwnerSampler, so that all are independent.
_EPOCH_KEY = 3
# Draws that are Python objects at once.
_BLOCK = 1 << 16
MODES = ("uniform", "official")


@DATA_SAMPLERS.register_module()
class UniformClusterSampler(Sampler[Draw]):
    """Draws the clusters equally often (DeepCluster, arXiv 1807.05520, section 3.3).

    An epoch takes ``floor(N / K') + 1`` draws from each of the K' clusters that have members, with
    replacement where there are fewer members than that, shuffles them and keeps the first N. Rank
    r takes draws r, r + W, r + 2 W, ... of this order, which is a function of (seed, epoch, labels)
    alone. Until :meth:`set_labels` each sample is drawn once. :meth:`draw_from` lets groups of
    processes draw from some of the clusters each, as DeeperCluster does.

    Between epochs 4 bytes a sample are held; the order of an epoch is made without a loop over
    clusters, in about 45 bytes a draw for a moment.

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
        self._group: DrawGroup | None = None
        # Of the samples that may be drawn, int32 and numbered from 0 without gaps.
        self._clusters: NDArray[np.int32] | None = None
        self._sizes: NDArray[np.int64] = np.zeros(0, np.int64)
        # Which samples those are, None for all.
        self._members: NDArray[np.int64] | None = None
        self._outdated = False

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, counted from 0, whose draws the next iteration yields."""
        self.epoch = epoch

    def draw_from(self, clusters: range, rank: int, world_size: int, stream: int = 0) -> None:
        """Lets this process draw from some clusters alone, together with the others of its group.

        The draws of the group are a function of (seed, epoch, labels, clusters, stream) and of
        their number: every process still takes ceil(N / W) draws an epoch, so a group of G takes
        G times as many. Holds from the next :meth:`set_labels` on, which still takes the labels of
        all samples and keeps those of these clusters.

        Args:
            clusters: the clusters, consecutive; those without members get no draws.
            rank: number of this process in its group.
            world_size: processes in the group, G.
            stream: number of the group among those with the same clusters (four rotations share
                a super-cluster), which makes its draws different.

        Raises:
            ValueError: there is no cluster, an argument is out of its range, or ``mode`` is
                ``official``, which has one order for all processes.
        """
        if self.mode == "official":
            raise ValueError(
                "train_dataloader.sampler.mode='official' cannot draw for groups of processes: "
                "set it to 'uniform'"
            )
        if len(clusters) == 0 or clusters.step != 1 or clusters.start < 0:
            raise ValueError(f"clusters must be consecutive and from 0 on, got {clusters}")
        if not 0 <= rank < world_size <= self.world_size:
            raise ValueError(
                f"rank {rank} of a group of {world_size} among {self.world_size} processes: a rank "
                "is below the size of its group, which is not above the number of processes"
            )
        if stream < 0:
            raise ValueError(f"stream must be at least 0, got {stream}")
        self._group = DrawGroup(clusters, rank, world_size, stream)
        self._outdated = self._clusters is not None

    def set_labels(self, labels: Tensor) -> None:
        """Takes the clusters to draw from, for the iterations that start from now on.

        Args:
            labels: Cluster of each sample, int64 (N,).

        Raises:
            ValueError: There is not one label for each sample, one is negative, or no sample is in
                the clusters of :meth:`draw_from`.
        """
        if labels.shape != (self.num_samples,):
            raise ValueError(f"expected {self.num_samples} labels, got {tuple(labels.shape)}")
        found = labels.cpu().numpy()
        if int(found.min()) < 0:
            raise ValueError(f"labels must be at least 0, got {int(found.min())}")
        self._members = None
        if self._group is not None:
            clusters = self._group.clusters
            chosen = (found >= clusters.start) & (found < clusters.stop)
            self._members = np.flatnonzero(chosen)
            if not len(self._members):
                raise ValueError(
                    f"no sample is in clusters {clusters.start} to {clusters.stop - 1}, from "
                    f"which this process draws; labels go up to {int(found.max())}"
                )
            found = found[self._members]
        sizes = np.bincount(found)
        numbers = (np.cumsum(sizes > 0) - 1).astype(np.int32)
        self._clusters = numbers[found]
        self._sizes = sizes[sizes > 0]
        self._outdated = False

    def __len__(self) -> int:
        """Draws an epoch, the same on every rank: ceil(N / W)."""
        return -(-self.num_samples // self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        if self._outdated:
            raise RuntimeError("draw_from() needs another set_labels() before draws are made")
        indices, seeds = self._epoch()
        for start in range(0, len(indices), _BLOCK):
            block = slice(start, start + _BLOCK)
            for index, seed in zip(indices[block].tolist(), seeds[block].tolist(), strict=True):
                yield Draw(index, seed)

    def _epoch(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples of this process's draws and the seeds of their augmentation."""
        # Before there are clusters the group has no part in it.
        group = None if self._clusters is None else self._group
        key: tuple[int, ...] = (_EPOCH_KEY, self.epoch)
        rank, world_size, total = self.rank, self.world_size, self.num_samples
        if group is not None:
            clusters, rank, world_size, stream = group
            key += (clusters.start, clusters.stop, stream)
            total = len(self) * world_size
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        # Ranks that would have one draw fewer wrap around to the start of the order.
        mine = np.arange(rank, len(self) * world_size, world_size) % total
        indices = self._order(generator, total)[mine]
        if group is not None and self._members is not None:
            indices = self._members[indices]
        seeds = generator.integers(0, 2**63, size=total, dtype=np.int64)
        return indices, seeds[mine]

    def _order(self, generator: np.random.Generator, total: int) -> NDArray[np.int64]:
        """Positions, among the samples that may be drawn, of ``total`` draws of an epoch."""
        clusters = self._clusters
        if clusters is None:
            return generator.permutation(total)
        grouped = _shuffled_in_groups(clusters, generator)
        number = total if len(self._sizes) == 1 else total // len(self._sizes) + 1
        places = _places(self._sizes, number, generator)
        drawn = grouped[places]
        del grouped, places
        generator.shuffle(drawn)
        drawn = drawn[:total]
        return np.argsort(clusters, kind="stable")[drawn] if self.mode == "official" else drawn


def _shuffled_in_groups(
    clusters: NDArray[np.int32], generator: np.random.Generator
) -> NDArray[np.int64]:
    """All positions (M,), ordered by cluster and at random within each."""
    order = generator.permutation(len(clusters))
    # One number holds cluster and place in the random order: numbers are sorted several times as
    # fast as positions by their clusters.
    bits = len(clusters).bit_length()
    keys = clusters[order].astype(np.int64)
    keys <<= bits
    keys |= np.arange(len(clusters))
    keys.sort()
    keys &= (1 << bits) - 1
    return order[keys]


def _places(
    sizes: NDArray[np.int64], number: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """``number`` places in each of consecutive groups, (len(sizes) * number,).

    The first ones of a group that is large enough, so that none occurs twice; random ones of the
    others.
    """
    first = np.cumsum(sizes) - sizes
    places = np.repeat(first, number).reshape(len(sizes), number)
    large = sizes >= number
    if large.all():
        places += np.arange(number)
        return places.ravel()
    places[large] += np.arange(number)
    small = np.flatnonzero(~large)
    random = generator.random((len(small), number))
    random *= sizes[small, None]
    places[small] += random.astype(np.int64)
    return places.ravel()
