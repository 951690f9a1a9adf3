import pytest
import torch
import torch.nn.functional as F

from mmdeepcluster.evaluation import PROBE_POINTS, choose_probe_points, nearest_grid
from mmdeepcluster.models.necks import split_layer
from mmdeepcluster.registry import BACKBONES

WIDTHS = {
    "alexnet": [9600, 9216, 9600, 9600, 9216],
    "vgg16": [9216] * 2 + [8192] * 2 + [9216] * 3 + [8192] * 6,
    "resnet50": [9216, 9216, 8192, 9216, 8192],
}
NETWORKS = {
    "alexnet": {"type": "AlexNet"},
    "vgg16": {"type": "VGG16BN"},
    "resnet50": {"type": "ResNet", "depth": 50},
}


@pytest.mark.parametrize("name", WIDTHS)
def test_published_networks_give_the_published_widths_r62(name):
    with torch.device("meta"):
        network = BACKBONES.build(NETWORKS[name])
        maps = network.forward_stages(torch.zeros(1, 3, 224, 224))
    chosen, layers = choose_probe_points({k: tuple(v.shape[1:]) for k, v in maps.items()})
    assert chosen == name
    widths = []
    for layer in layers:
        stage, pooling = split_layer(layer)
        widths.append(pooling(torch.zeros(1, *maps[stage].shape[1:])).shape[1])
    assert widths == WIDTHS[name] == [point.width for point in PROBE_POINTS[name]]


def test_poolings_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 13, 13, generator=generator)
    pooled = {name: split_layer(f"relu_3.{name}")[1](x) for name in ("avg3p1", "avg2", "grid4")}
    assert torch.equal(pooled["avg3p1"], F.avg_pool2d(x, 3, padding=1).flatten(1))
    assert torch.equal(pooled["avg2"], F.avg_pool2d(x, 2).flatten(1))
    assert torch.equal(pooled["grid4"], F.adaptive_avg_pool2d(x, 4).flatten(1))
    assert torch.equal(split_layer("relu_3")[1](x), x.mean(dim=(2, 3)))
    assert torch.equal(split_layer("relu_3.flat")[1](x), x.flatten(1))
    assert split_layer("blocks.3")[0] == "blocks.3"
    with pytest.raises(ValueError, match="13x13 positions"):
        split_layer("relu_3.grid14")[1](x)


def test_another_network_gets_the_grid_nearest_to_9000():
    assert nearest_grid((64, 112, 112)) == 12  # 9216; 11 gives 7744
    assert nearest_grid((512, 4, 4)) == 4  # 8192 is all there is
    shapes = {"conv_1": (8, 50, 50), "relu_1": (8, 50, 50), "pool_1": (8, 25, 25), "fc_2": (64,)}
    assert choose_probe_points(shapes) == ("near9000", ("relu_1.grid34",))  # 8 x 34 x 34 = 9248
    assert choose_probe_points({"pooled": (192,)}) == ("vectors", ("pooled",))
    with pytest.raises(ValueError, match="no stage"):
        choose_probe_points({})
