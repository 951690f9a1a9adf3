"""Small answers of a device, read without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


class HostCopy:
    """A small tensor on its way from a device to the host while the device goes on.

    Made early and read late, it is there long before it is asked for, so that asking does not wait
    for what the device was told since.

    Args:
        tensor: On any device. On the CPU it is taken as it is.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._copy = tensor
        if tensor.is_cuda:
            self._copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._copy.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> Tensor:
        """The tensor on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        return self._copy
