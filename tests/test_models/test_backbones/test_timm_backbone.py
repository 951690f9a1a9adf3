import sys

import pytest
import torch

from mmdeepcluster.models.backbones import TimmBackbone


def need_timm():
    return pytest.importorskip("timm", reason="timm is not installed (an optional extra)")


def test_missing_timm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"pip install mmdeepcluster\[optional\]"):
        TimmBackbone("resnet18")


def test_resnet18_has_maps_and_a_pooled_vector():
    need_timm()
    net = TimmBackbone("resnet18").eval()
    assert net.stage_names == ("act1", "layer1", "layer2", "layer3", "layer4", "pooled")
    stages = net.forward_stages(torch.randn(1, 3, 64, 64))
    assert stages["layer4"].shape == (1, 512, 2, 2)
    torch.testing.assert_close(stages["pooled"], stages["layer4"].mean(dim=(2, 3)))


def test_vision_transformer_takes_another_image_size():
    need_timm()
    net = TimmBackbone("vit_tiny_patch16_224", img_size=64, out_indices=(11, -1)).eval()
    maps, pooled = net(torch.randn(2, 3, 64, 64))
    assert net.stage_names[11] == "blocks.11"
    assert maps.shape == (2, 192, 4, 4)
    assert pooled.shape == (2, 192) == (2, net.out_channels)


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small_050", "convnext_atto", "regnetx_002", "resnet18.a1_in1k"]
)
def test_families_of_networks_fit_the_contract(name):
    need_timm()
    net = TimmBackbone(name).eval()
    stages = net.forward_stages(torch.randn(1, 3, 64, 64))
    assert [value.shape[1] for value in stages.values()] == list(net.stage_channels)


def test_the_alone_pooled_vector_is_that_of_the_taps():
    need_timm()
    net = TimmBackbone("mobilenetv3_small_050").eval()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net(x)[-1], net.forward_stages(x)["pooled"])


def test_wrong_image_size_names_the_key():
    need_timm()
    net = TimmBackbone("vit_tiny_patch16_224", img_size=32)
    with pytest.raises(ValueError, match=r"images of 64x64 .* set model\.backbone\.img_size=64"):
        net(torch.randn(1, 3, 64, 64))


def test_img_size_where_there_is_none_is_refused():
    need_timm()
    with pytest.raises(ValueError, match=r"model\.backbone\.img_size=64, but 'resnet18'"):
        TimmBackbone("resnet18", img_size=64)


def test_unknown_name_suggests_a_near_one():
    need_timm()
    with pytest.raises(ValueError, match=r"'resnet81' is no network of timm, did you mean resnet"):
        TimmBackbone("resnet81")


def test_weights_that_do_not_exist_are_refused_before_any_download():
    need_timm()
    with pytest.raises(ValueError, match=r"no weights for 'resnet18\.none'.*'resnet18\.a1_in1k'"):
        TimmBackbone("resnet18.none", pretrained=True)
    with pytest.raises(
        ValueError, match=r"no weights for 'beit3_giant_patch14_224': .*pretrained=False$"
    ):
        TimmBackbone("beit3_giant_patch14_224", pretrained=True)
