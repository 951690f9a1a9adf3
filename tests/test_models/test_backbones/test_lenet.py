import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdeepcluster.models.backbones import LeNet5

KINDS = ("weight", "bias")


def test_shapes_of_r17():
    stages = LeNet5().eval().forward_stages(torch.randn(2, 1, 32, 32))
    assert {name: tuple(value.shape[1:]) for name, value in stages.items()} == {
        "conv_1": (6, 28, 28),
        "relu_1": (6, 28, 28),
        "conv_2": (16, 10, 10),
        "relu_2": (16, 10, 10),
        "fc_1": (120,),
        "fc_2": (84,),
    }
    assert stages["conv_2"].flatten(1).shape[1] == 1600
    assert LeNet5().fc1.in_features == 400
    assert LeNet5().out_channels == 84


def test_features_are_taken_before_the_last_relu():
    torch.manual_seed(0)
    features = LeNet5()(torch.randn(16, 1, 32, 32))[-1]
    assert 0.1 < (features < 0).float().mean() < 0.9


def test_layers_are_in_the_order_of_r17():
    torch.manual_seed(0)
    net = LeNet5().eval()
    x = torch.randn(3, 1, 32, 32)
    maps = F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 2)
    maps = F.max_pool2d(F.relu(net.bn2(net.conv2(maps))), 2)
    torch.testing.assert_close(net(x)[-1], net.fc2(F.relu(net.fc1(maps.flatten(1)))))


def test_number_of_weights():
    # 25*6 + 2*6 + 150*16 + 2*16 + 400*120 + 120 + 120*84 + 84
    assert sum(p.numel() for p in LeNet5().parameters()) == 60_878


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"32x32 pixels, got 28x30: resize"):
        LeNet5()(torch.randn(1, 1, 28, 30))


def test_without_bn_convolutions_have_biases_r34():
    torch.manual_seed(0)
    net = LeNet5(batch_norm=False)
    names = [f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2") for kind in KINDS]
    assert list(net.state_dict()) == names
    assert sum(p.numel() for p in net.parameters()) == 60_878 - 6 - 16
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    x = torch.randn(3, 1, 32, 32)
    maps = F.max_pool2d(F.relu(F.conv2d(x, net.conv1.weight, net.conv1.bias)), 2)
    maps = F.max_pool2d(F.relu(F.conv2d(maps, net.conv2.weight, net.conv2.bias)), 2)
    expected = net.fc2(F.relu(net.fc1(maps.flatten(1))))
    torch.testing.assert_close(net(x)[-1], expected)
    torch.testing.assert_close(net.eval()(x)[-1], expected)


def test_the_default_has_the_names_and_weights_it_had_r34():
    torch.manual_seed(0)
    net = LeNet5()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = [
        f"{conv}.weight" if kind is None else f"{bn}.{kind}"
        for conv, bn in (("conv1", "bn1"), ("conv2", "bn2"))
        for kind in (None, *norm)
    ]
    assert list(net.state_dict()) == names + [f"{fc}.{k}" for fc in ("fc1", "fc2") for k in KINDS]
    torch.manual_seed(0)
    first = nn.Conv2d(1, 6, kernel_size=5, bias=False).weight
    second = nn.Conv2d(6, 16, kernel_size=5, bias=False).weight
    assert torch.equal(net.conv1.weight, first) and torch.equal(net.conv2.weight, second)
