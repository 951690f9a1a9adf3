"""Processes that share the classifier of one super-class, as DeeperCluster trains at scale."""

from __future__ import annotations

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_rank, get_world_size, is_main_process
from torch import Tensor


class HeadGroup:
    """The group of this process: W = S g processes are S groups of g, rank by rank.

    Processes ``s g`` to ``s g + g - 1`` hold the classifier of super-class s and see its samples
    alone (DeeperCluster, arXiv 1905.01278). The rest of the network is shared by all.

    Args:
        num_super_classes: S.

    Attributes:
        super_class: s of this process.
        rank: Number of this process in its group.
        size: g.

    Raises:
        ValueError: If W is not a multiple of S.
    """

    def __init__(self, num_super_classes: int) -> None:
        world_size = get_world_size()
        if world_size % num_super_classes:
            raise ValueError(
                f"model.grouped=True: {num_super_classes} super-classes (model.num_rotations x "
                f"model.num_super_clusters) need a multiple of {num_super_classes} processes, "
                f"there are {world_size}: start so many, or set model.grouped=False, which runs "
                "on any number and holds all classifiers on each"
            )
        self.num_super_classes = num_super_classes
        self.size = world_size // num_super_classes
        self.super_class, self.rank = divmod(get_rank(), self.size)
        self._world_size = world_size
        self._group: torch_dist.ProcessGroup | None = None

    def join(self) -> None:
        """Lets the processes of each group talk to each other; collective over all."""
        if self.size > 1:
            # Every process has to take part in making each group.
            groups = [
                torch_dist.new_group(range(first, first + self.size))
                for first in range(0, self._world_size, self.size)
            ]
            self._group = groups[self.super_class]

    def reduce_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient of the mean loss of all processes, from that of this one; collective.

        The loss is a mean over all samples, and those of other groups do not touch this
        classifier, so the sum over the group is divided by W.
        """
        gradient = gradient / self._world_size
        if self.size > 1:
            if self._group is None:
                raise RuntimeError("the processes of a group have not joined: call join() first")
            torch_dist.all_reduce(gradient, group=self._group)
        return gradient

    def gather_on_main(self, part: Tensor) -> Tensor | None:
        """Parts (1, ...) of all super-classes as (S, ...) on the CPU of the main process.

        Collective, one super-class after the other, so that a GPU need not hold all.

        Args:
            part: Part of this process, on its device.

        Returns:
            None on other processes.
        """
        if self.rank == 0 and not is_main_process():
            torch_dist.send(part.contiguous(), dst=0)
        if not is_main_process():
            return None
        whole = torch.empty(self.num_super_classes, *part.shape[1:], dtype=part.dtype)
        whole[0] = part[0]
        received = torch.empty_like(part)
        for number in range(1, self.num_super_classes):
            torch_dist.recv(received, src=number * self.size)
            whole[number] = received[0]
        return whole

    def part_of(self, whole: Tensor) -> Tensor:
        """The part (1, ...) of this process of what :meth:`gather_on_main` returned."""
        return whole[self.super_class : self.super_class + 1]
