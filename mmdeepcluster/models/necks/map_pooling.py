"""How a map becomes a row of a feature matrix, as the name of a layer says it."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from mmdeepcluster.models.necks.average_pool import global_average_pool

POOLINGS = "'.flat', '.avg2', '.avg6p3' or '.grid4'"
_SUFFIX = re.compile(
    r"(?P<layer>.+)\.(?:(?P<flat>flat)|avg(?P<size>[1-9]\d*)(?:p(?P<padding>\d+))?"
    r"|grid(?P<cells>[1-9]\d*))"
)


class MapPooling(NamedTuple):
    """Which averages of a map are kept; the default is one over all positions.

    Attributes:
        size: Side and stride of the squares that are averaged, 1 for every position.
        padding: Zeros around the map, which count as positions.
        cells: Instead of ``size``: cells along each side that the map is divided into.
    """

    size: int | None = None
    padding: int = 0
    cells: int | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Pools maps (B, C, H, W) into rows, channel by channel; rows (B, D) stay as they are.

        Raises:
            ValueError: If a map is smaller than the square or has fewer positions than cells.
        """
        if self.size is None and self.cells is None:
            return global_average_pool(features)
        if features.ndim != 4:
            return features
        side = min(features.shape[2:])
        least = self.cells if self.size is None else self.size - 2 * self.padding
        if least is not None and side < least:
            raise ValueError(
                f"a map of {features.shape[2]}x{features.shape[3]} positions cannot be pooled "
                f"with {self}: name a smaller pooling"
            )
        if self.cells is not None:
            return F.adaptive_avg_pool2d(features, self.cells).flatten(1)
        assert self.size is not None
        return F.avg_pool2d(features, self.size, padding=self.padding).flatten(1)


def split_layer(name: str) -> tuple[str, MapPooling]:
    """The stage that a name of a layer means, and how its map is pooled.

    ``.flat`` keeps every position, ``.avg6p3`` averages squares of 6x6 after a padding of 3
    (``.avg2`` without padding), ``.grid4`` averages 4x4 cells of about equal size. Without such an
    ending the average runs over all positions.
    """
    found = _SUFFIX.fullmatch(name)
    if found is None:
        return name, MapPooling()
    if found["cells"]:
        return found["layer"], MapPooling(cells=int(found["cells"]))
    size = int(found["size"] or 1)
    return found["layer"], MapPooling(size, int(found["padding"] or 0))
