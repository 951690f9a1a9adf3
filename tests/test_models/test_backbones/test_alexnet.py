import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdeepcluster.models.backbones import AlexNet

SMALL = dict(widths=(4, 8, 8, 8, 8), fc_channels=(16, 12))


@pytest.fixture(scope="module")
def alexnet():
    torch.manual_seed(0)
    return AlexNet().eval()


@pytest.mark.parametrize("sobel", [False, True])
def test_shapes_of_r18(sobel):
    with torch.device("meta"):  # shapes alone, no arithmetic
        net = AlexNet(sobel=sobel).eval()
        stages = net.forward_stages(torch.empty(1, 3, 224, 224))
    assert net.conv1.in_channels == (2 if sobel else 3)
    assert {name: tuple(value.shape[1:]) for name, value in stages.items()} == {
        "conv_1": (96, 55, 55),
        "relu_1": (96, 55, 55),
        "pool_1": (96, 27, 27),
        "conv_2": (256, 27, 27),
        "relu_2": (256, 27, 27),
        "pool_2": (256, 13, 13),
        "conv_3": (384, 13, 13),
        "relu_3": (384, 13, 13),
        "conv_4": (384, 13, 13),
        "relu_4": (384, 13, 13),
        "conv_5": (256, 13, 13),
        "relu_5": (256, 13, 13),
        "pool_5": (256, 6, 6),
        "fc_6": (4096,),
        "relu_6": (4096,),
        "fc_7": (4096,),
        "relu_7": (4096,),
    }
    assert net.fc6.in_features == 9216
    assert net.out_channels == 4096


def test_shapes_of_r19():
    with torch.device("meta"):
        net = AlexNet(widths=(64, 192, 384, 256, 256), fc_channels=(2048, 2048)).eval()
        stages = net.forward_stages(torch.empty(1, 3, 224, 224))
    widths = [stages[f"relu_{number}"].shape[1] for number in range(1, 6)]
    assert widths == [64, 192, 384, 256, 256]
    assert F.avg_pool2d(stages["relu_5"], 2).flatten(1).shape[1] == 9216
    assert (net.fc6.in_features, net.fc7.in_features, net.out_channels) == (9216, 2048, 2048)


def test_layers_of_r18(alexnet):
    kinds = [type(module) for module in alexnet.modules()]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.BatchNorm2d) == 5
    assert kinds.count(nn.Linear) == 2
    assert nn.LocalResponseNorm not in kinds
    assert alexnet.drop.p == 0.5


def test_initialisation_of_r18(alexnet):
    # weights of N(0, s): the standard deviation of n of them lies within s (1 +- 4 / sqrt(2 n)),
    # but for one case in 16,000, and their mean within 4 s / sqrt(n)
    for number, (kernel, width) in enumerate(
        [(11, 96), (5, 256), (3, 384), (3, 384), (3, 256)], start=1
    ):
        conv = getattr(alexnet, f"conv{number}")
        assert conv.weight.shape[0] == width and conv.kernel_size == (kernel, kernel)
        check_normal(conv.weight, math.sqrt(2 / (kernel**2 * width)))
    for layer in (alexnet.fc6, alexnet.fc7):
        check_normal(layer.weight, 0.01)
        assert (layer.bias == 0).all()


def check_normal(weight, std):
    number = weight.numel()
    assert weight.std().item() == pytest.approx(std, rel=4 / math.sqrt(2 * number))
    assert abs(weight.mean().item()) < 4 * std / math.sqrt(number)


def test_number_of_weights(alexnet):
    convolutions = 3 * 96 * 121 + 96 * 256 * 25 + 256 * 384 * 9 + 384 * 384 * 9 + 384 * 256 * 9
    norms = 2 * (96 + 256 + 384 + 384 + 256)
    connected = (9216 + 1) * 4096 + (4096 + 1) * 4096
    assert sum(p.numel() for p in alexnet.parameters()) == convolutions + norms + connected


def test_layers_are_in_the_order_of_r18():
    torch.manual_seed(0)
    net = AlexNet(**SMALL).eval()
    x = torch.randn(2, 3, 224, 224)
    maps = x
    for number in range(1, 6):
        maps = F.relu(getattr(net, f"bn{number}")(getattr(net, f"conv{number}")(maps)))
        if number in (1, 2, 5):
            maps = F.max_pool2d(maps, 3, 2)
    torch.testing.assert_close(net(x)[-1], net.fc7(F.relu(net.fc6(maps.flatten(1)))))


def test_features_are_taken_before_the_last_relu_r2():
    torch.manual_seed(0)
    net = AlexNet(**SMALL).eval()
    x = torch.randn(8, 3, 224, 224)
    features = net(x)[-1]
    assert 0.1 < (features < 0).float().mean() < 0.9
    after = AlexNet(**SMALL, out_indices=(-1,)).eval()
    after.load_state_dict(net.state_dict())
    assert torch.equal(after(x)[-1], F.relu(features))


def test_dropout_acts_in_training_alone_on_the_fully_connected_layers():
    torch.manual_seed(0)
    net = AlexNet(**SMALL)
    maps = torch.ones(1, 8, 6, 6)
    index = net.stage_names.index("fc_6")
    assert not torch.equal(net.run_stage(index, maps), net.run_stage(index, maps))
    net.eval()
    assert torch.equal(net.run_stage(index, maps), net.run_stage(index, maps))
    without = AlexNet(**SMALL, dropout=0.0)
    assert torch.equal(without.run_stage(index, maps), without.run_stage(index, maps))


@pytest.mark.parametrize("size", [222, 255, 32, 5])
def test_other_sizes_are_refused(size):
    net = AlexNet(**SMALL).eval()
    with pytest.raises(ValueError, match=rf"224x224 pixels .*, got 224x{size}: resize"):
        net(torch.randn(1, 3, 224, size))


@pytest.mark.parametrize("size", [223, 254])
def test_sizes_with_a_last_map_of_6x6_are_taken(size):
    stages = AlexNet(**SMALL).eval().forward_stages(torch.randn(1, 3, size, size))
    assert stages["pool_5"].shape == (1, 8, 6, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(widths=(8, 8)), r"model\.backbone\.widths must be 5 positive .* got \[8, 8\]"),
        (dict(widths=(8, 8, 0, 8, 8)), r"widths must be 5 positive numbers"),
        (dict(fc_channels=()), r"model\.backbone\.fc_channels must be 2 positive .* got \[\]"),
        (dict(dropout=1.0), r"model\.backbone\.dropout must be in \[0, 1\), got 1\.0"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AlexNet(**options)
