"""Images that encode their index, and a network whose features say it."""

import numpy as np
from PIL import Image
from torch import nn

from mmdeepcluster.models.backbones import ChainedBackbone
from mmdeepcluster.registry import BACKBONES

CONFIG = """
custom_imports = dict(imports=["index_images"])
model = dict(type="FeatureModel", backbone=dict(type="PixelBackbone"))
dataset = dict(type="ImageFolder", root={root!r})
data_preprocessor = dict(type="ImagePreprocessor", mean=[0.0] * 3, std=[2.0] * 3)
eval_pipeline = [dict(type="PILToTensor")]
eval_dataloader = dict(batch_size=40, num_workers=0)
"""


@BACKBONES.register_module(force=True)
class PixelBackbone(ChainedBackbone):
    """Half of each pixel, and what random filters make of them."""

    def __init__(self):
        super().__init__(3, {"pixels": 3, "filtered": 5}, (0,))
        self.conv = nn.Conv2d(3, 5, 3)

    def run_stage(self, index, x):
        return x if index == 0 else self.conv(x)


def write_images(folder, number):
    """PNG files of one colour, in whose red and green the index stands."""
    folder.mkdir()
    for index in range(number):
        pixels = np.full((4, 4, 3), (index % 256, index // 256, 7), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:05d}.png", compress_level=0)


def decode(features):
    """Indices out of rows (n, 3) of the layer ``pixels``."""
    return features[:, 0] * 2 + features[:, 1] * 512
