"""A view of images that are one array, which makes whole batches without Pillow, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate
from torchvision.transforms import v2

from mmdeepcluster.datasets.image_view import ImageView
from mmdeepcluster.datasets.transforms.batched import BatchPipeline, build_steps

# What these do to a batch has the bits of what torchvision does to a PIL image. A resizing has
# not: its two passes are made in an order that depends on the version of Pillow.
_SAME_BITS = (v2.RGB, v2.Grayscale, v2.CenterCrop)


class ArrayView(ImageView):
    """As the view it is made of, and several samples at once are a batch.

    Args:
        view: what to see in batches.
        pipeline: its transforms, in batches.
    """

    def __init__(self, view: ImageView, pipeline: BatchPipeline) -> None:
        vars(self).update(vars(view))
        self._batches = pipeline

    def __getitems__(self, keys: Sequence[int]) -> dict[str, Tensor]:
        """Makes a batch; torch's loaders ask for several samples by this name.

        Args:
            keys: indices of samples.

        Returns:
            ``inputs``, uint8 (B, C, H, W), and ``sample_idx``, int64 (B,).

        Raises:
            IndexError: there is no such sample.
        """
        index = np.array([self._check_index(int(key)) for key in keys], dtype=np.int64)
        array = self.dataset.image_array(index)
        assert array is not None
        inputs = self._batches.apply(as_images(array), [{} for _ in self._batches.steps])
        return {"inputs": inputs.contiguous(), "sample_idx": torch.from_numpy(index)}


def in_batches(view: ImageView) -> ImageView:
    """The same view, which makes whole batches where they have the same bits.

    That is where the images are an array and the pipeline is made of ``RGB``, ``Grayscale``,
    ``CenterCrop``, a ``Resize`` to the size that images have, and ``PILToTensor`` at the end.
    """
    if type(view) is not ImageView:  # another class may load or transform otherwise
        return view
    array = view.dataset.image_array(np.zeros(1, dtype=np.int64))
    transforms = list(getattr(view.pipeline, "transforms", ()))
    if array is None or not transforms or type(transforms[-1]) is not v2.PILToTensor:
        return view
    channels, height, width = as_images(array).shape[1:]
    shape = (channels, height, width)
    steps = []
    for transform in transforms[:-1]:
        if type(transform) not in (*_SAME_BITS, v2.Resize):
            return view
        try:
            (step,) = build_steps([transform])
        except ValueError:  # an option that is not followed in batches
            return view
        if type(transform) is v2.Resize and step.changes(shape):
            return view
        steps.append(step)
        shape = step.shape(shape)
    return ArrayView(view, BatchPipeline(steps))


def as_images(array: NDArray[np.uint8]) -> Tensor:
    """Images (N, C, H, W) of an array (N, H, W) or (N, H, W, 3), of any strides."""
    if min(array.strides) < 0:  # which torch does not know
        array = array.copy()
    images = torch.from_numpy(array)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)


def collate(samples: Any) -> Any:
    """Makes a batch of samples, unless they are one already."""
    return samples if isinstance(samples, dict) else default_collate(samples)
