"""A view that makes each sample once, for passes that are repeated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor
from torchvision.transforms import v2

from mmdeepcluster.datasets.image_view import ImageView

# What these make of an image is the same each time.
_FIXED = (
    v2.CenterCrop,
    v2.Grayscale,
    v2.Normalize,
    v2.PILToTensor,
    v2.Pad,
    v2.RGB,
    v2.Resize,
    v2.ToDtype,
    v2.ToImage,
)


class KeptView(ImageView):
    """As the view it is made of; what was made of a sample is kept in the process that made it.

    Memory is used for samples that were visited. Data workers keep those of their batches, which
    are the same in each pass while the workers live.

    Args:
        view: whose samples are kept; its pipeline draws nothing.
    """

    def __init__(self, view: ImageView) -> None:
        vars(self).update(vars(view))
        self._rows: Tensor | None = None
        self._made = torch.zeros(len(view), dtype=torch.bool)

    def __getitems__(self, keys: Sequence[int]) -> dict[str, Tensor]:
        """Makes a batch; torch's loaders ask for several samples by this name.

        Args:
            keys: indices of samples.

        Returns:
            ``inputs`` (B, C, H, W) and ``sample_idx``, int64 (B,).

        Raises:
            IndexError, OSError, RuntimeError: see :class:`ImageView`.
        """
        index = torch.tensor([self._check_index(int(key)) for key in keys])
        for number in index[~self._made[index]].tolist():
            made = self[number]["inputs"]
            if self._rows is None:
                # The system gives memory to the rows that are written.
                self._rows = torch.empty(len(self), *made.shape, dtype=made.dtype)
            self._rows[number] = made
            self._made[number] = True
        assert self._rows is not None
        return {"inputs": self._rows[index], "sample_idx": index}


def kept(view: ImageView, limit: int) -> ImageView:
    """The same view, which keeps its samples if they fit and its pipeline draws nothing.

    Args:
        view: a view.
        limit: most bytes that the samples may take.
    """
    transforms = list(getattr(view.pipeline, "transforms", ()))
    if not transforms or not all(type(transform) in _FIXED for transform in transforms):
        return view
    size = len(view) * view[0]["inputs"].nbytes
    if size > limit:
        return view
    print_log(
        f"images of {view.name} are kept once they are made: {size / 2**20:.1f} MiB", "current"
    )
    return KeptView(view)
