"""From a batch of the loader to what the backbone sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmdeepcluster.registry import MODELS


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device and normalises its images per channel.

    Pipelines hand over ``uint8`` (0..255), so that a quarter of the bytes cross to the device;
    floating point images are taken to lie in 0..1, the convention of torchvision.

    Args:
        mean: Mean of each channel in units of 0..255, as in the other OpenMMLab projects.
        std: Standard deviation of each channel in units of 0..255.

    Raises:
        ValueError: If the lengths differ, or the values look as if they were in units of 0..1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean:
            raise ValueError(
                f"model.data_preprocessor needs mean and std of equal length, got {list(mean)} "
                f"and {list(std)}"
            )
        if min(std) <= 0 or max(std) <= 1:
            raise ValueError(
                f"model.data_preprocessor.std must be in units of 0..255, got {list(std)}"
            )
        self.memory_format = torch.preserve_format
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def cast_data(self, data: Any) -> Any:
        """Moves the tensors of a batch to the device, without waiting for the copies.

        From page-locked memory (``pin_memory=True`` of the loader) a copy to a GPU runs beside
        what the host and the GPU do; work on the GPU that needs it is queued behind it.
        """
        if isinstance(data, Tensor):
            # A copy to the main memory would be read before it is complete.
            return data.to(self.device, non_blocking=self.device.type != "cpu")
        return super().cast_data(data)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalises ``data['inputs']`` (B, C, H, W); the other entries only change device.

        Raises:
            ValueError: If the images have another number of channels than ``mean``.
        """
        data = dict(self.cast_data(data))
        inputs: Tensor = data["inputs"]
        if inputs.ndim != 4 or inputs.shape[1] != self.mean.shape[1]:
            raise ValueError(
                f"images arrive as {tuple(inputs.shape)}, model.data_preprocessor.mean has "
                f"{self.mean.shape[1]} channels: let train_pipeline and eval_pipeline begin with "
                "RGB or Grayscale"
            )
        scale = 1.0 if inputs.dtype == torch.uint8 else 255.0
        images = inputs.to(torch.float32, memory_format=self.memory_format)
        data["inputs"] = (images * scale - self.mean) / self.std
        return data
