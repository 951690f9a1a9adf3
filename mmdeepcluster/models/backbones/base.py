"""What every backbone offers: a chain of named stages, and those of them that are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from mmdeepcluster.models.backbones.layers.sobel import Sobel


def check_in_channels(in_channels: int) -> None:
    """Raises ``ValueError`` unless there is at least one channel."""
    if in_channels < 1:
        raise ValueError(f"model.backbone.in_channels must be >= 1, got {in_channels}")


class Backbone(nn.Module, ABC):
    """A network of named stages, each fed by the one before.

    Which stage a method clusters is the choice of ``out_indices``. By default it is the one that
    DeepCluster takes: of a network that ends in fully connected layers the last ``fc_`` stage,
    before its ReLU, so that features may be negative; otherwise the last map.

    A subclass calls this constructor with its stages and implements :meth:`run_stages`. Any other
    ``nn.Module`` with these attributes, :meth:`forward` and :meth:`forward_stages` does as well.

    Args:
        in_channels: Channels of the images.
        stage_channels: Name of each stage, in order, and the channels (or width) of its output.
        out_indices: Stages that :meth:`forward` returns, counted from 0; negative numbers count
            from the last stage.
        sobel: Puts a Sobel layer between the images and the first stage. Defaults to False.

    Attributes:
        in_channels: Channels of the images.
        sobel: The Sobel layer, or None.
        stem_channels: Channels that the first layer takes: those of the images, or the 2 that
            leave the Sobel layer.
        stage_names: Names of all stages, in order.
        stage_channels: Channels (or width) of the output of each stage.
        out_indices: Stages that :meth:`forward` returns, all counted from 0.
        out_channels: Channels (or width) of the last output, which is what the neck takes.

    Raises:
        ValueError: If ``in_channels`` is not positive, or not 1 or 3 with ``sobel``, or
            ``out_indices`` is empty or names a stage that does not exist.
    """

    def __init__(
        self,
        in_channels: int,
        stage_channels: Mapping[str, int],
        out_indices: Sequence[int],
        sobel: bool = False,
    ) -> None:
        super().__init__()
        check_in_channels(in_channels)
        self.in_channels = in_channels
        self.sobel = Sobel(in_channels) if sobel else None
        self.stem_channels = in_channels if self.sobel is None else self.sobel.out_channels
        self.stage_names = tuple(stage_channels)
        self.stage_channels = tuple(stage_channels.values())
        self.out_indices = self._resolve_indices(out_indices)
        self.out_channels = self.stage_channels[self.out_indices[-1]]

    def _resolve_indices(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        number = len(self.stage_names)
        wrong = [index for index in out_indices if not -number <= index < number]
        if wrong or not out_indices:
            raise ValueError(
                f"model.backbone.out_indices={list(out_indices)} must name at least one of the "
                f"{number} stages 0 to {number - 1} ({', '.join(self.stage_names)}) and no other"
            )
        return tuple(index % number for index in out_indices)

    @abstractmethod
    def run_stages(self, x: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Outputs of some stages.

        Args:
            x: Images (B, C, H, W) that were checked, or what the Sobel layer made of them.
            wanted: Numbers of stages, from 0.

        Returns:
            A map (B, C, H, W) or a vector (B, D) per image, by number.
        """

    def check_input(self, x: Tensor) -> None:
        """Refuses images that the first layer cannot take.

        Raises:
            ValueError: If ``x`` is not (B, C, H, W) with C equal to ``in_channels``.
        """
        if x.ndim != 4:
            raise ValueError(f"images must have the shape (B, C, H, W), got {tuple(x.shape)}")
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"model.backbone.in_channels={self.in_channels}, but the images that reach the "
                f"backbone have {x.shape[1]} channel(s), shape {tuple(x.shape)}: set "
                f"model.backbone.in_channels={x.shape[1]}, or let the pipeline deliver "
                f"{self.in_channels} channel(s)"
            )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the stages in ``out_indices``, in that order.

        Args:
            x: Images (B, C, H, W).

        Returns:
            One (B, C, H, W) map or (B, D) matrix per entry of ``out_indices``.

        Raises:
            ValueError: If the images do not fit this backbone.
        """
        outputs = self.run_stages(self._enter(x), set(self.out_indices))
        return tuple(outputs[index] for index in self.out_indices)

    def forward_stages(self, x: Tensor) -> dict[str, Tensor]:
        """Features of every stage by its name.

        Args:
            x: Images (B, C, H, W).

        Returns:
            One (B, C, H, W) map or (B, D) matrix per name in ``stage_names``.

        Raises:
            ValueError: If the images do not fit this backbone.
        """
        outputs = self.run_stages(self._enter(x), range(len(self.stage_names)))
        return {name: outputs[index] for index, name in enumerate(self.stage_names)}

    def _enter(self, x: Tensor) -> Tensor:
        """What the first stage gets: checked images, or their gradients."""
        self.check_input(x)
        return x if self.sobel is None else self.sobel(x)


class ChainedBackbone(Backbone):
    """A backbone whose stages are run one after the other.

    A subclass calls the constructor of :class:`Backbone` and implements :meth:`run_stage`.
    """

    @abstractmethod
    def run_stage(self, index: int, x: Tensor) -> Tensor:
        """Applies stage ``index`` to the output of the stage before, without changing it.

        Args:
            index: Number of the stage, from 0.
            x: Output of stage ``index - 1``, or for stage 0 what :meth:`run_stages` got.

        Returns:
            A map (B, C, H, W) or a vector (B, D) per image.
        """

    def run_stages(self, x: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
        """Outputs of the wanted stages; no stage after the last wanted one is computed."""
        outputs = {}
        for index in range(max(wanted) + 1):
            x = self.run_stage(index, x)
            if index in wanted:
                outputs[index] = x
        return outputs
