"""Every backbone keeps the same contract: what `base.py` promises."""

import inspect

import pytest
import torch
from torch import nn

from mmdeepcluster.models import backbones
from mmdeepcluster.registry import BACKBONES

CASES = {
    "AlexNet": (
        dict(type="AlexNet", widths=(4, 8, 8, 8, 8), fc_channels=(16, 16)),
        (3, 224, 224),
    ),
    "AlexNetMicro": (dict(type="AlexNetMicro"), (3, 32, 32)),
    "AlexNetMicro Sobel": (dict(type="AlexNetMicro", sobel=True), (3, 32, 32)),
    "VGG16BN": (
        dict(type="VGG16BN", widths=(4,) * 12 + (2,), fc_channels=(16, 16)),
        (3, 224, 224),
    ),
    "LeNet5": (dict(type="LeNet5"), (1, 32, 32)),
    "LeNet5 without BN": (dict(type="LeNet5", batch_norm=False), (1, 32, 32)),
    "ConvNet": (dict(type="ConvNet", widths=(4, 8, 16)), (3, 16, 16)),
    "ResNet": (dict(type="ResNet", depth=18, stem="small"), (3, 16, 16)),
    "TimmBackbone": (dict(type="TimmBackbone", name="resnet18"), (3, 32, 32)),
    "TorchvisionBackbone": (dict(type="TorchvisionBackbone", name="resnet18"), (3, 32, 32)),
    "TimmBackbone ViT": (
        dict(type="TimmBackbone", name="vit_tiny_patch16_224", img_size=32),
        (3, 32, 32),
    ),
}


@pytest.fixture(params=CASES, name="case")
def _case(request):
    cfg, shape = CASES[request.param]
    if cfg["type"] == "TimmBackbone":
        pytest.importorskip("timm", reason="timm is not installed (an optional extra)")
    return cfg, shape


def build(cfg, **options):
    torch.manual_seed(0)
    return BACKBONES.build(dict(cfg, **options)).eval()


def images(shape, batch=2):
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1))


def test_every_exported_backbone_is_covered():
    covered = {cfg["type"] for cfg, _ in CASES.values()}
    exported = {name for name in backbones.__all__ if name in BACKBONES.module_dict}
    assert covered == exported
    assert set(backbones.__all__) - exported == {
        "Backbone",
        "ChainedBackbone",
        "ConvFCBackbone",
        "fold_sobel",
    }


def test_last_output_is_what_the_neck_takes(case):
    cfg, shape = case
    backbone = build(cfg)
    outputs = backbone(images(shape))
    assert isinstance(backbone, nn.Module)
    assert isinstance(outputs, tuple)
    assert len(outputs) == len(backbone.out_indices) == 1
    assert outputs[-1].ndim in (2, 4)
    assert outputs[-1].shape[:2] == (2, backbone.out_channels)
    assert backbone.in_channels == shape[0]


def test_stages_have_their_names_and_channels(case):
    cfg, shape = case
    backbone = build(cfg)
    stages = backbone.forward_stages(images(shape))
    assert tuple(stages) == backbone.stage_names
    for channels, features in zip(backbone.stage_channels, stages.values(), strict=True):
        assert features.ndim in (2, 4)
        assert features.shape[1] == channels


def test_forward_returns_the_named_stages_in_order_of_out_indices(case):
    cfg, shape = case
    wanted = (2, 0, -1)
    backbone = build(cfg, out_indices=wanted)
    x = images(shape)
    stages = list(backbone.forward_stages(x).values())
    outputs = backbone(x)
    assert backbone.out_indices == (2, 0, len(stages) - 1)
    for index, output in zip(wanted, outputs, strict=True):
        torch.testing.assert_close(output, stages[index])


def test_an_early_stage_as_last_output_sets_the_width(case):
    cfg, shape = case
    backbone = build(cfg, out_indices=(0,))
    assert backbone(images(shape))[-1].shape[1] == backbone.out_channels
    assert backbone.out_channels == backbone.stage_channels[0]


def test_later_stages_leave_the_features_of_earlier_ones_alone(case):
    # an in-place ReLU would change a feature after it was handed out
    cfg, shape = case
    x = images(shape)
    before = x.clone()
    alone = build(cfg, out_indices=(1,))(x)[0]
    among_all = list(build(cfg).forward_stages(x).values())[1]
    torch.testing.assert_close(alone, among_all)
    assert torch.equal(x, before)


def test_a_wrong_number_of_channels_names_key_and_both_values(case):
    cfg, shape = case
    wrong = images((shape[0] + 1, *shape[1:]))
    message = rf"model\.backbone\.in_channels={shape[0]}.* {shape[0] + 1} channel"
    with pytest.raises(ValueError, match=message):
        build(cfg)(wrong)
    with pytest.raises(ValueError, match=message):
        build(cfg).forward_stages(wrong)


def test_other_numbers_of_channels_can_be_had(case):
    cfg, shape = case
    number = 1 if cfg.get("sobel") else 2  # two channels leave a Sobel layer
    backbone = build(cfg, in_channels=number)
    assert torch.isfinite(backbone(images((number, *shape[1:])))[-1]).all()


def test_images_without_batch_are_refused(case):
    cfg, shape = case
    with pytest.raises(ValueError, match=r"\(B, C, H, W\), got"):
        build(cfg)(images(shape)[0])


@pytest.mark.parametrize("out_indices", [(99,), (0, -99), ()])
def test_unknown_stages_are_refused(case, out_indices):
    cfg, _ = case
    with pytest.raises(ValueError, match=r"model\.backbone\.out_indices=.* stages 0 to"):
        build(cfg, out_indices=out_indices)


def test_no_channels_are_refused(case):
    cfg, _ = case
    with pytest.raises(ValueError, match=r"in_channels must be >= 1, got 0"):
        build(cfg, in_channels=0)


def test_arguments_are_explicit(case):
    # the config checker reads the signature and refuses unknown keys
    cfg, _ = case
    parameters = inspect.signature(BACKBONES.get(cfg["type"])).parameters.values()
    assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)


def test_every_weight_gets_a_gradient(case):
    cfg, shape = case
    backbone = build(cfg).train()
    backbone(images(shape, batch=4))[-1].square().sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not missing


def test_state_dict_round_trip_is_exact(case):
    cfg, shape = case
    first = build(cfg)
    torch.manual_seed(5)
    second = BACKBONES.build(dict(cfg)).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first(images(shape))[-1], second(images(shape))[-1])
