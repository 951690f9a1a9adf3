import pytest
import torch
from torch import nn

from mmdeepcluster.models.backbones import ConvNet


def test_default_shapes():
    stages = ConvNet().eval().forward_stages(torch.randn(2, 3, 32, 32))
    assert {name: tuple(value.shape[1:]) for name, value in stages.items()} == {
        "stage_1": (32, 32, 32),
        "stage_2": (64, 16, 16),
        "stage_3": (128, 8, 8),
        "stage_4": (256, 4, 4),
    }


def test_convolutions_per_stage():
    net = ConvNet(widths=(4, 8), convs_per_stage=3)
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convs] == [
        (3, 4), (4, 4), (4, 4), (4, 8), (8, 8), (8, 8),
    ]  # fmt: skip
    assert all(conv.bias is None for conv in convs)
    assert net.eval()(torch.randn(1, 3, 8, 8))[-1].shape == (1, 8, 4, 4)


def test_outputs_follow_a_relu():
    assert ConvNet()(torch.randn(4, 3, 16, 16))[-1].min() >= 0


def test_too_small_images_are_refused():
    net = ConvNet().eval()
    assert net(torch.randn(1, 3, 8, 8))[-1].shape == (1, 256, 1, 1)
    with pytest.raises(ValueError, match=r"4 stages, .* at least 8x8 pixels, got 7x8"):
        net(torch.randn(1, 3, 7, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(widths=()), r"model\.backbone\.widths .* got \[\]"),
        (dict(widths=(8, 0)), r"model\.backbone\.widths .* got \[8, 0\]"),
        (dict(convs_per_stage=0), r"model\.backbone\.convs_per_stage must be >= 1, got 0"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(**options)
