"""Random parameters, drawn by the transforms of torchvision themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def draw(transform: Any, inputs: Sequence[Tensor] = ()) -> dict[str, Any]:
    """Parameters of a transform for images of the shape of ``inputs``."""
    # torchvision made this method public in 0.21.
    make = getattr(transform, "make_params", None) or transform._get_params
    found: dict[str, Any] = make(list(inputs))
    return found
