import pytest
import torch
import torch.nn.functional as F

from mmdeepcluster.models.backbones import AlexNet, AlexNetMicro


@pytest.mark.parametrize("sobel", [False, True])
def test_shapes_of_r22(sobel):
    net = AlexNetMicro(sobel=sobel).eval()
    stages = net.forward_stages(torch.randn(2, 3, 32, 32))
    assert {name: tuple(value.shape[1:]) for name, value in stages.items()} == {
        "conv_1": (48, 9, 9),
        "relu_1": (48, 9, 9),
        "pool_1": (48, 8, 8),
        "conv_2": (126, 7, 7),
        "relu_2": (126, 7, 7),
        "pool_2": (126, 6, 6),
        "conv_3": (192, 4, 4),
        "relu_3": (192, 4, 4),
        "conv_4": (192, 3, 3),
        "relu_4": (192, 3, 3),
        "conv_5": (128, 2, 2),
        "relu_5": (128, 2, 2),
        "pool_5": (128, 1, 1),
        "fc_6": (1024,),
        "relu_6": (1024,),
        "fc_7": (1024,),
        "relu_7": (1024,),
    }
    assert stages["relu_5"].flatten(1).shape[1] == 512
    assert (net.fc6.in_features, net.out_channels) == (128, 1024)


def test_layers_are_in_the_order_of_r22():
    torch.manual_seed(0)
    net = AlexNetMicro().eval()
    x = torch.randn(3, 3, 32, 32)
    maps = x
    for number in range(1, 6):
        maps = F.relu(getattr(net, f"bn{number}")(getattr(net, f"conv{number}")(maps)))
        if number in (1, 2, 5):
            maps = F.max_pool2d(maps, 2, stride=1)
    torch.testing.assert_close(net(x)[-1], net.fc7(F.relu(net.fc6(maps.flatten(1)))))


def test_number_of_weights():
    convolutions = 3 * 48 * 64 + 48 * 126 * 4 + 126 * 192 * 9 + 192 * 192 * 4 + 192 * 128 * 4
    norms = 2 * (48 + 126 + 192 + 192 + 128)
    connected = (128 + 1) * 1024 + (1024 + 1) * 1024
    assert sum(p.numel() for p in AlexNetMicro().parameters()) == convolutions + norms + connected


def test_features_are_taken_before_the_last_relu():
    torch.manual_seed(0)
    features = AlexNetMicro().eval()(torch.randn(16, 3, 32, 32))[-1]
    assert 0.1 < (features < 0).float().mean() < 0.9


@pytest.mark.parametrize("name", ["fc_6", "fc_7"])
def test_dropout_stands_before_both_fully_connected_layers(name):
    net = AlexNetMicro()
    index = net.stage_names.index(name)
    maps = torch.ones(1, 128, 1, 1) if name == "fc_6" else torch.ones(1, 1024)
    assert not torch.equal(net.run_stage(index, maps), net.run_stage(index, maps))


@pytest.mark.parametrize("size", [31, 35, 28, 4, 224])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=rf"AlexNetMicro takes .*32x32.*32 to 34.*got 32x{size}"):
        AlexNetMicro()(torch.randn(1, 3, 32, size))


def test_without_bn_convolutions_have_biases_of_0_r34():
    torch.manual_seed(0)
    net = AlexNetMicro(batch_norm=False).eval()
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    assert set(net.state_dict()) == {f"{x}.{kind}" for x in layers for kind in ("weight", "bias")}
    for number in range(1, 6):
        conv = getattr(net, f"conv{number}")
        assert not conv.bias.any()
        torch.nn.init.normal_(conv.bias)
    maps = x = torch.randn(3, 3, 32, 32)
    for number in range(1, 6):
        maps = F.relu(getattr(net, f"conv{number}")(maps))
        if number in (1, 2, 5):
            maps = F.max_pool2d(maps, 2, stride=1)
    torch.testing.assert_close(net(x)[-1], net.fc7(F.relu(net.fc6(maps.flatten(1)))))


@pytest.mark.parametrize("kind", [AlexNetMicro, AlexNet])
def test_bn_changes_the_names_of_its_own_weights_alone_r34(kind):
    small = {} if kind is AlexNetMicro else dict(widths=(4, 8, 8, 8, 8), fc_channels=(16, 16))
    torch.manual_seed(0)
    default = kind(**small).state_dict()
    torch.manual_seed(0)
    without = kind(batch_norm=False, **small).state_dict()
    biases = {f"conv{number}.bias" for number in range(1, 6)}
    norms = {name for name in default if name.startswith("bn")}
    assert len(norms) == 5 * 5 and without.keys() == default.keys() - norms | biases
