"""AlexNet, by default with BN, for images of 224x224 pixels, and a small one for 32x32."""

from __future__ import annotations

from collections.abc import Sequence

from mmdeepcluster.models.backbones.conv_fc import Conv, ConvFCBackbone, Pool
from mmdeepcluster.registry import BACKBONES

_CONVS = (Conv(11, 4, 2), Conv(5, 1, 2), Conv(3, 1, 1), Conv(3, 1, 1), Conv(3, 1, 1))
_POOLS = {1: Pool(3, 2), 2: Pool(3, 2), 5: Pool(3, 2)}

_MICRO_CONVS = (Conv(8, 3, 0), Conv(2, 1, 0), Conv(3, 1, 0), Conv(2, 1, 0), Conv(2, 1, 0))
_MICRO_POOLS = {1: Pool(2, 1), 2: Pool(2, 1), 5: Pool(2, 1)}


@BACKBONES.register_module()
class AlexNet(ConvFCBackbone):
    """AlexNet of DeepCluster [0] and ODC [1]: no LRN, but BN after each convolution (R18).

    Numbered as in the literature: 1 to 5 are convolutions, 6 and 7 are fully connected. Stages, at
    224x224 pixels:

    - ``conv_1``, ``relu_1`` 96x55x55, ``pool_1`` 96x27x27, ``conv_2``, ``relu_2`` 256x27x27,
      ``pool_2`` 256x13x13, ``conv_3``, ``relu_3``, ``conv_4``, ``relu_4`` 384x13x13, ``conv_5``,
      ``relu_5`` 256x13x13, ``pool_5`` 256x6x6;
    - ``fc_6``, ``relu_6``, ``fc_7``, ``relu_7`` 4096.

    A ``conv_`` or ``fc_`` stage is the plain output of that layer; a ``relu_`` stage follows BN,
    where there is one, and ReLU. Dropout stands before each ``fc_`` layer. ``fc_7`` is what
    DeepCluster clusters, before the last ReLU, which comes back in front of its classifier;
    ``relu_7`` (``out_indices=(-1,)``) feeds the neck of ODC, which would otherwise set a linear
    layer on a linear layer. Convolutions start from N(0, sqrt(2 / (k^2 c_out))), fully connected
    layers from N(0, 0.01).

    The "Deep Dive" study [2] takes ``widths=(64, 192, 384, 256, 256)`` and
    ``fc_channels=(2048, 2048)`` in its appendix, for CIFAR-10 scaled up to 224x224 (R19).

    - [0]: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018,
      section 4; widths, BN and initialisation as in the published network.
    - [1]: Zhan et al., Online Deep Clustering, CVPR 2020, section 3.4.
    - [2]: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, appendix A.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        widths: Filters of the five convolutions. Defaults to (96, 256, 384, 384, 256).
        fc_channels: Widths of the two fully connected layers. Defaults to (4096, 4096).
        dropout: Share of the inputs of each fully connected layer that is dropped in training.
            Defaults to 0.5. Changes results.
        out_indices: Stages to return. Defaults to (-2,), ``fc_7``.
        sobel: Feeds image gradients to the first convolution, see
            :class:`~mmdeepcluster.models.backbones.layers.Sobel`. Defaults to False. Changes
            results.
        batch_norm: Puts BN behind each convolution, which then has no bias. Defaults to True.
            Without it the convolutions have biases, 0 at first. Changes results.

    Raises:
        ValueError: If there are not five widths and two fully connected layers, all positive,
            ``dropout`` is not in [0, 1), ``out_indices`` names no stage, or images are not of
            about 224x224 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (96, 256, 384, 384, 256),
        fc_channels: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        out_indices: Sequence[int] = (-2,),
        sobel: bool = False,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            _CONVS,
            widths,
            _POOLS,
            image_size=224,
            fc_channels=fc_channels,
            dropout=dropout,
            dropped=(6, 7),
            out_indices=out_indices,
            sobel=sobel,
            batch_norm=batch_norm,
        )


@BACKBONES.register_module()
class AlexNetMicro(ConvFCBackbone):
    """AlexNet-Micro of the "Deep Dive" study [0], for SVHN and CIFAR-10 (R22).

    Filters are those of section 3.3, kernels those of the authors' code; no padding anywhere.
    Stages, at 32x32 pixels:

    - ``conv_1``, ``relu_1`` 48x9x9 (8x8, stride 3), ``pool_1`` 48x8x8 (each pooling 2x2, stride
      1), ``conv_2``, ``relu_2`` 126x7x7, ``pool_2`` 126x6x6, ``conv_3``, ``relu_3`` 192x4x4,
      ``conv_4``, ``relu_4`` 192x3x3, ``conv_5``, ``relu_5`` 128x2x2, ``pool_5`` 128x1x1;
    - ``fc_6``, ``relu_6``, ``fc_7``, ``relu_7`` 1024.

    As in :class:`AlexNet` there is BN before each ReLU of a convolution and dropout before each
    ``fc_`` layer, ``fc_7`` is what is clustered, and weights start alike.

    - [0]: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 3.3.

    Args:
        in_channels: Channels of the images. Defaults to 3.
        dropout: Share of the inputs of each fully connected layer that is dropped in training.
            Defaults to 0.5. Changes results.
        out_indices: Stages to return. Defaults to (-2,), ``fc_7``.
        sobel: Feeds image gradients to the first convolution, see
            :class:`~mmdeepcluster.models.backbones.layers.Sobel`. Defaults to False. Changes
            results.
        batch_norm: Puts BN behind each convolution, which then has no bias. Defaults to True.
            Without it the convolutions have biases, 0 at first. Changes results.

    Raises:
        ValueError: If ``dropout`` is not in [0, 1), ``out_indices`` names no stage, or images are
            not of 32x32 pixels (33 and 34 do as well).
    """

    def __init__(
        self,
        in_channels: int = 3,
        dropout: float = 0.5,
        out_indices: Sequence[int] = (-2,),
        sobel: bool = False,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            _MICRO_CONVS,
            (48, 126, 192, 192, 128),
            _MICRO_POOLS,
            image_size=32,
            fc_channels=(1024, 1024),
            dropout=dropout,
            dropped=(6, 7),
            out_indices=out_indices,
            sobel=sobel,
            batch_norm=batch_norm,
        )
