"""Images that a unit of a network answers to most, by gradient ascent.

What DeepCluster shows of its network (arXiv 1807.05520, section 4, "Visualizations"), with the
regularisations of the works that came before and after it:

- [0]: Erhan, Bengio, Courville, Vincent: Visualizing Higher-Layer Features of a Deep Network, 2009:
  the ascent itself.
- [1]: Yosinski et al., Understanding Neural Networks Through Deep Visualization, arXiv 1506.06579:
  decay and blur.
- [2]: Mahendran, Vedaldi: Understanding Deep Image Representations by Inverting Them, arXiv
  1412.0035: total variation.
- [3]: Olah, Mordvintsev, Schubert: Feature Visualization, Distill 2017: jitter, and a start whose
  spectrum is that of photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Narrower than this a Gaussian does not reach the next pixel.
_LEAST_SIGMA = 0.3


@dataclass(frozen=True)
class AscentOptions:
    """How an ascent is made. Lengths are in pixels, values in deviations of the data set.

    Attributes:
        steps: Steps.
        rate: Length of a step: root mean square of what it adds to a pixel.
        decay: Part of the image that each step takes away [1].
        jitter: Largest shift of the image before each step, in either direction [3].
        blur: Width of the Gaussian that gradients are blurred with in the first step, which falls
            to 0 in the last: large shapes come before small ones [1].
        variation: Weight of the total variation against the gradient [2].
        start: Root mean square of the start.
    """

    steps: int
    rate: float = 0.08
    decay: float = 0.02
    jitter: int = 0
    blur: float = 0.0
    variation: float = 0.0
    start: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def options_for(depth: float, size: int, steps: int | None = None) -> AscentOptions:
    """Defaults for a layer: deep ones get more steps and more of every regularisation.

    A unit of the first layer sees a few pixels and needs none; a deep one has many ways to be
    pleased by noise.

    Args:
        depth: 0 for the first layer, 1 for the last.
        size: Height of the images.
        steps: Steps. Defaults to None, 80 to 200.
    """
    return AscentOptions(
        steps=round(80 + 120 * depth) if steps is None else steps,
        jitter=round(size * (0.01 + 0.04 * depth)),
        blur=size / 224 * (1 + 4 * depth),
        variation=0.05 + 0.15 * depth,
    )


def pink_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Noise (B, C, H, W) of mean 0 and deviation 1 whose spectrum falls as 1/f [3]."""
    generator = torch.Generator().manual_seed(seed)
    height, width = shape[-2:]
    rows = torch.fft.fftfreq(height)[:, None]
    columns = torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    frequency = frequency.clamp_min(1 / max(height, width))
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequency
    noise = torch.fft.irfft2(spectrum, s=(height, width))
    noise = noise - noise.mean(dim=(1, 2, 3), keepdim=True)
    return noise / noise.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


def ascend(
    score: Callable[[Tensor], Tensor],
    start: Tensor,
    options: AscentOptions,
    *,
    seed: int,
    low: Tensor | None = None,
    high: Tensor | None = None,
) -> Tensor:
    """Changes images until each pleases its unit.

    One step: ``x <- (1 - decay) x + rate (g/|g| - variation dTV/dx)``, with ``g`` the blurred
    gradient of the score of the shifted image and ``|g|`` its root mean square.

    Args:
        score: From images (B, C, H, W) to one number for each (B,).
        start: First images (B, C, H, W).
        options: How.
        seed: Seed of the shifts.
        low: Smallest values that pixels may have, as for ``clamp``. Defaults to None, no bound.
        high: Largest ones.

    Returns:
        Images (B, C, H, W). One whose score has no gradient decays.
    """
    generator = torch.Generator().manual_seed(seed)
    images = start.detach().clone()
    for step in range(options.steps):
        shifts = torch.randint(-options.jitter, options.jitter + 1, (2,), generator=generator)
        dy, dx = shifts.tolist()
        moved = images.roll((dy, dx), (2, 3)).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        gradient = gradient.roll((-dy, -dx), (2, 3))
        left = 1 - step / max(options.steps - 1, 1)
        gradient = blurred(gradient, options.blur * left)
        change = gradient / _size(gradient).clamp_min(1e-20)
        if options.variation:
            change = change - options.variation * variation_gradient(images)
        images = images * (1 - options.decay) + options.rate * change
        if low is not None or high is not None:
            images = images.clamp(low, high)
    return images


def _size(images: Tensor) -> Tensor:
    """Root mean square of each image (B, 1, 1, 1)."""
    return images.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (B, C, H, W) after a Gaussian of that width in pixels."""
    if sigma < _LEAST_SIGMA:
        return images
    radius = max(1, math.ceil(2.5 * sigma))
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-places.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    out = images
    for shape, padding in (
        ((1, 1, -1, 1), (0, 0, radius, radius)),
        ((1, 1, 1, -1), (radius, radius, 0, 0)),
    ):
        weight = kernel.view(shape).expand(channels, -1, -1, -1)
        out = F.conv2d(F.pad(out, padding, mode="replicate"), weight, groups=channels)
    return out


def variation_gradient(images: Tensor, smoothness: float = 1e-2) -> Tensor:
    """Gradient of the total variation ``sum sqrt(dx^2 + dy^2 + smoothness^2)`` [2]."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        down = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
        right = F.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1))
        total = (down.square() + right.square() + smoothness**2).sqrt().sum()
        (gradient,) = torch.autograd.grad(total, x)
    return gradient
