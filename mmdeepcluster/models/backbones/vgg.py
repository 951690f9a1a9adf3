"""VGG-16 with batch normalisation, for images of 224x224 pixels."""

from __future__ import annotations

from collections.abc import Sequence

from mmdeepcluster.models.backbones.conv_fc import Conv, ConvFCBackbone, Pool
from mmdeepcluster.registry import BACKBONES

_POOLS = dict.fromkeys((2, 4, 7, 10, 13), Pool(2, 2))
_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@BACKBONES.register_module()
class VGG16BN(ConvFCBackbone):
    """VGG-16 [0] with BN, as in DeepCluster [1] and DeeperCluster [2] (R20).

    13 convolutions of 3x3, then two fully connected layers. Stages, at 224x224 pixels:

    - ``conv_1``, ``relu_1`` to ``conv_13``, ``relu_13``: 64x224x224 (1, 2), 128x112x112 (3, 4),
      256x56x56 (5 to 7), 512x28x28 (8 to 10), 512x14x14 (11 to 13), with ``pool_2``, ``pool_4``,
      ``pool_7``, ``pool_10`` and ``pool_13`` (512x7x7) at half the size of the map before;
    - ``fc_14``, ``relu_14``, ``fc_15``, ``relu_15`` 4096.

    A ``conv_`` or ``fc_`` stage is the plain output of that layer; a ``relu_`` stage follows BN,
    where there is one, and ReLU. Dropout stands before ``fc_15``. ``fc_15`` is what is clustered,
    before the last ReLU, which comes back in front of the classifier. Convolutions start from
    N(0, sqrt(2 / (k^2 c_out))), fully connected layers from N(0, 0.01).

    - [0]: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, configuration D.
    - [1]: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018,
      section 4; BN, dropout and initialisation as in the published network.
    - [2]: Caron et al., Unsupervised Pre-Training of Image Features on Non-Curated Data, ICCV
      2019, section 4.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        widths: Filters of the 13 convolutions. Defaults to those of VGG-16.
        fc_channels: Widths of the two fully connected layers. Defaults to (4096, 4096).
        dropout: Share of the inputs of ``fc_15`` that is dropped in training. Defaults to 0.5.
            Changes results.
        out_indices: Stages to return. Defaults to (-2,), ``fc_15``.
        sobel: Feeds image gradients to the first convolution, see
            :class:`~mmdeepcluster.models.backbones.layers.Sobel`. Defaults to False. Changes
            results.

    Raises:
        ValueError: If there are not 13 widths and two fully connected layers, all positive,
            ``dropout`` is not in [0, 1), ``out_indices`` names no stage, or images are not of
            about 224x224 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = _WIDTHS,
        fc_channels: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        out_indices: Sequence[int] = (-2,),
        sobel: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            [Conv(3, 1, 1)] * len(_WIDTHS),
            widths,
            _POOLS,
            image_size=224,
            fc_channels=fc_channels,
            dropout=dropout,
            dropped=(15,),
            out_indices=out_indices,
            sobel=sobel,
        )
