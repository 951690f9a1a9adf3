"""Where a network is probed, and how its maps are pooled to about 9,000 numbers (R62)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Shape = tuple[int, ...]

# What the published poolings aim at.
TARGET_WIDTH = 9000


class ProbePoint(NamedTuple):
    """One place where a probe is put.

    Attributes:
        stage: Name of the stage.
        shape: Shape (C, H, W) of its map at the published size of images.
        pooling: Ending of the layer's name: ``avg6p3``, ``grid12``.
        width: Numbers per image after the pooling.
    """

    stage: str
    shape: Shape
    pooling: str
    width: int

    @property
    def layer(self) -> str:
        """Name to extract."""
        return f"{self.stage}.{self.pooling}"


def _vgg16() -> tuple[ProbePoint, ...]:
    blocks = (
        (2, 64, 224, 18, 9216),
        (2, 128, 112, 14, 8192),
        (3, 256, 56, 9, 9216),
        (3, 512, 28, 6, 8192),
        (3, 512, 14, 3, 8192),
    )
    points = [
        ((channels, side, side), f"avg{size}", width)
        for number, channels, side, size, width in blocks
        for _ in range(number)
    ]
    return tuple(ProbePoint(f"relu_{i}", *point) for i, point in enumerate(points, start=1))


# Pools of AlexNet: DeepCluster's linear probe; VGG-16: DeeperCluster's, after each convolution;
# ResNet-50: squares of OpenSelfSup, here as cells of equal size (it can also use overlapping ones).
PROBE_POINTS: dict[str, tuple[ProbePoint, ...]] = {
    "alexnet": (
        ProbePoint("relu_1", (96, 55, 55), "avg6p3", 9600),
        ProbePoint("relu_2", (256, 27, 27), "avg4", 9216),
        ProbePoint("relu_3", (384, 13, 13), "avg3p1", 9600),
        ProbePoint("relu_4", (384, 13, 13), "avg3p1", 9600),
        ProbePoint("relu_5", (256, 13, 13), "avg2", 9216),
    ),
    "vgg16": _vgg16(),
    "resnet50": (
        ProbePoint("feat1", (64, 112, 112), "grid12", 9216),
        ProbePoint("feat2", (256, 56, 56), "grid6", 9216),
        ProbePoint("feat3", (512, 28, 28), "grid4", 8192),
        ProbePoint("feat4", (1024, 14, 14), "grid3", 9216),
        ProbePoint("feat5", (2048, 7, 7), "grid2", 8192),
    ),
}


def nearest_grid(shape: Shape, target: int = TARGET_WIDTH) -> int:
    """Cells along each side that bring a map (C, H, W) nearest to ``target`` numbers.

    At most as many as the map has positions along its shorter side; of two that are equally near
    the smaller.
    """
    channels, side = shape[0], min(shape[1:])
    return min(range(1, side + 1), key=lambda cells: abs(channels * cells**2 - target))


def choose_probe_points(
    shapes: Mapping[str, Shape], target: int = TARGET_WIDTH
) -> tuple[str, tuple[str, ...]]:
    """Layers to probe of a network whose stages have these shapes.

    A network whose maps are those of a registered architecture is probed where the papers do.
    Of another one every map is divided into the grid whose width is nearest to ``target``; where
    stages are numbered convolutions (``conv_1``, ``relu_1``, ``pool_1``, ...) only those behind a
    ReLU. A network without maps is probed at its vectors.

    Args:
        shapes: Shape (C, H, W) or (D,) of each stage, in order.
        target: Width to aim at, for networks that are not registered.

    Returns:
        Name of the choice for the protocol id, ``alexnet`` or ``near9000``, and the layers.

    Raises:
        ValueError: If there is no stage.
    """
    if not shapes:
        raise ValueError("the network has no stage to probe")
    for name, points in PROBE_POINTS.items():
        if all(tuple(shapes.get(point.stage, ())) == point.shape for point in points):
            return name, tuple(point.layer for point in points)
    maps = {stage: shape for stage, shape in shapes.items() if len(shape) == 3}
    behind_relu = {stage: shape for stage, shape in maps.items() if stage.startswith("relu_")}
    chosen = behind_relu or maps
    if not chosen:
        return "vectors", tuple(shapes)
    return f"near{target}", tuple(
        f"{stage}.grid{nearest_grid(shape, target)}" for stage, shape in chosen.items()
    )
