"""Image gradients in place of colours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# cross-correlation kernels of DeepCluster: left minus right, and upper minus lower
_HORIZONTAL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_VERTICAL = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))


class Sobel(nn.Module):
    """Grey value, then the two Sobel gradients of it: 3 (or 1) channels become 2 (R16).

    The grey value is the mean of the three channels; an image of one channel is grey already.
    Beyond the border the grey value counts as 0. The kernels are buffers: no optimizer sees them,
    and they are saved with the weights.

    Source: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018,
    section 3.3; the kernels are those of the published network. There, too, the layer follows the
    normalisation of the images.

    Args:
        in_channels: Channels of the images, 3 or 1. Defaults to 3.

    Raises:
        ValueError: For another number of channels.
    """

    out_channels = 2

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        if in_channels not in (1, 3):
            raise ValueError(
                f"model.backbone.sobel=True takes images of 3 channels or of 1, got "
                f"model.backbone.in_channels={in_channels}: change one of them"
            )
        self.in_channels = in_channels
        self.gray: Tensor
        self.kernels: Tensor
        self.register_buffer("gray", torch.full((1, in_channels, 1, 1), 1 / in_channels))
        self.register_buffer("kernels", torch.tensor([_HORIZONTAL, _VERTICAL]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        """Gradients (B, 2, H, W), horizontal and vertical, of images (B, in_channels, H, W)."""
        gray = F.conv2d(x, self.gray)
        return F.conv2d(gray, self.kernels, padding=1)
