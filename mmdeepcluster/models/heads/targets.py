"""What heads that predict rotations and clusters have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdeepcluster.clustering import HostCopy


class HostCounts:
    """Sizes of groups, on their way from a device to the host while the device goes on.

    Made before the forward pass of a network and read after it, they are there long before that
    pass is done, so that asking for them does not wait for it.

    Args:
        groups: Number of the group of each sample, int64 (B,).
        num_groups: How many groups there are.
    """

    def __init__(self, groups: Tensor, num_groups: int) -> None:
        # bincount() would ask a GPU for the largest number.
        counts = groups.new_zeros(num_groups).index_add_(0, groups, torch.ones_like(groups))
        self._copy = HostCopy(counts)

    def tolist(self) -> list[int]:
        """The sizes, by group."""
        sizes: list[int] = self._copy.read().tolist()
        return sizes


def seeded_normal(shape: torch.Size, std: float, seed: int, stream: int) -> Tensor:
    """Numbers of N(0, std^2) on the CPU, a function of seed and stream."""
    # Streams lie apart by a number that seeds of a run never reach.
    generator = torch.Generator().manual_seed((seed + stream * 0x9E3779B97F4A7C15) % 2**63)
    return torch.randn(shape, generator=generator) * std
