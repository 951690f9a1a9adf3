"""Which processes draw from which clusters, where not all draw from all."""

from __future__ import annotations

from typing import NamedTuple


class DrawGroup(NamedTuple):
    """The clusters that a process draws its samples from, where that are not all.

    Attributes:
        clusters: Ids of the clusters.
        rank: Number of this process among those that draw the same samples together.
        world_size: How many these are.
        stream: Which of several such groups it is, so that no two draw the same.
    """

    clusters: range
    rank: int
    world_size: int
    stream: int
