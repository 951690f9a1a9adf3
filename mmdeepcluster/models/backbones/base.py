"""What every backbone promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class BaseBackbone(nn.Module, ABC):
    """A network that gives features of several stages by name.

    Attributes:
        in_channels: Channels of the images it takes.
        out_channels: Width of the last output, which the neck takes.
        out_indices: Stages that :meth:`forward` returns, as positions in ``stage_names``.
        stage_names: Names of all stages, from the first to the last.
    """

    in_channels: int
    out_channels: int
    out_indices: tuple[int, ...]
    stage_names: tuple[str, ...]

    @abstractmethod
    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """Output of every stage by name: maps (B, C, H, W) or vectors (B, C)."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages in ``out_indices``.

        Args:
            images: Normalised images (B, C, H, W).

        Raises:
            ValueError: If the images have another number of channels than ``in_channels``.
        """
        stages = self.forward_stages(images)
        return tuple(stages[self.stage_names[index]] for index in self.out_indices)

    def check_channels(self, images: Tensor) -> None:
        """Refuses images that the first layer does not take."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"model.backbone.in_channels is {self.in_channels} but the images arrive as "
                f"{tuple(images.shape)}: set it, or begin both pipelines with RGB or Grayscale"
            )


def check_out_indices(out_indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Returns the indices as a tuple.

    Raises:
        ValueError: If there is none, or one is outside the stages.
    """
    indices = tuple(out_indices)
    if not indices or not all(0 <= index < num_stages for index in indices):
        raise ValueError(
            f"model.backbone.out_indices must name stages 0 to {num_stages - 1}, got {indices}"
        )
    return indices
