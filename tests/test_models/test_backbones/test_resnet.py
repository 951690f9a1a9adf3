import pytest
import torch
import torchvision
from torch import nn

from mmdeepcluster.models.backbones import ResNet


@pytest.mark.parametrize("in_channels", [3, 2])  # 2 behind a Sobel layer
def test_feature_shapes_of_r21(in_channels):
    with torch.device("meta"):  # shapes alone, no arithmetic
        net = ResNet(50, in_channels, out_indices=(0, 1, 2, 3, 4)).eval()
        stages = net.forward_stages(torch.empty(1, in_channels, 224, 224))
    assert {name: tuple(value.shape[1:]) for name, value in stages.items()} == {
        "feat1": (64, 112, 112),
        "feat2": (256, 56, 56),
        "feat3": (512, 28, 28),
        "feat4": (1024, 14, 14),
        "feat5": (2048, 7, 7),
    }
    assert net.out_channels == 2048


def test_small_stem_keeps_the_resolution_r23():
    stages = ResNet(18, stem="small").eval().forward_stages(torch.randn(1, 3, 32, 32))
    assert [tuple(value.shape[1:]) for value in stages.values()] == [
        (64, 32, 32),
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_weights_have_the_names_and_shapes_of_torchvision(depth):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        ours = ResNet(depth).state_dict()
    expected = {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in ours.items()} == expected


def test_weights_of_torchvision_load_strictly_and_give_the_same_features():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    ours = ResNet(18).eval()
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(weights, strict=True)
    x = torch.randn(2, 3, 64, 64)
    theirs.fc = nn.Identity()
    torch.testing.assert_close(ours(x)[-1].mean(dim=(2, 3)), theirs(x))


def test_names_of_weights_do_not_depend_on_the_stem():
    assert ResNet(18, stem="small").state_dict().keys() == ResNet(18).state_dict().keys()


def test_two_channels_behind_sobel_r21():
    net = ResNet(18, in_channels=2)
    assert net.conv1.weight.shape == (64, 2, 7, 7)
    # He initialisation by fan-out: std = sqrt(2 / (64 * 49)) = 0.02525
    assert net.conv1.weight.std().item() == pytest.approx(0.02525, rel=0.05)


@pytest.mark.parametrize(
    ("norm_cfg", "kind"),
    [
        (None, nn.BatchNorm2d),
        (dict(type="BN", momentum=0.05), nn.BatchNorm2d),
        (dict(type="SyncBN"), nn.SyncBatchNorm),
        (dict(type="GN", num_groups=16), nn.GroupNorm),
    ],
)
def test_normalisation_layers(norm_cfg, kind):
    net = ResNet(18, norm_cfg=norm_cfg)
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)
    found = [m for m in net.modules() if isinstance(m, norms)]
    assert len(found) == 20
    assert all(isinstance(m, kind) for m in found)
    if norm_cfg and "momentum" in norm_cfg:
        assert all(m.momentum == 0.05 for m in found)
    if kind is nn.GroupNorm:
        assert all(m.num_groups == 16 for m in found)


@pytest.mark.parametrize(("depth", "last"), [(18, "bn2"), (50, "bn3")])
def test_zero_init_residual_starts_blocks_as_identity(depth, last):
    def final_norms(net):
        return [getattr(b, last).weight.abs().sum().item() for b in net.layer2]

    assert all(value == 0 for value in final_norms(ResNet(depth, zero_init_residual=True)))
    assert all(value > 0 for value in final_norms(ResNet(depth)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(depth=20), r"model\.backbone\.depth=20 is none of 18, 34, 50, 101"),
        (dict(depth=18, stem="tiny"), r"model\.backbone\.stem='tiny' is none of imagenet, small"),
        (dict(depth=18, norm_cfg=dict(type="LN")), r"norm_cfg\.type='LN' is none of BN, SyncBN"),
        (dict(depth=18, norm_cfg=dict(type="GN")), r"model\.backbone\.norm_cfg\.num_groups"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**options)
