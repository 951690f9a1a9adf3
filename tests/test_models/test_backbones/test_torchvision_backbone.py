"""Classifiers of torchvision as backbones: the vector before the classifier, and maps by name."""

import pytest
import torch
from torchvision import models

from mmdeepcluster.models.backbones import TorchvisionBackbone


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_pooled_is_what_the_classifier_gets(images):
    torch.manual_seed(0)
    backbone = TorchvisionBackbone("resnet18").eval()
    torch.manual_seed(0)
    network = models.resnet18().eval()
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(backbone(images)[0], network(images))
    assert backbone.classifier_name == "fc" and backbone.out_channels == 512
    assert backbone.network.state_dict().keys() == network.state_dict().keys()


def test_a_map_is_not_changed_by_the_layer_behind(images):
    # densenet applies a ReLU in place to the output of `features`, squeeze nets to convolutions
    backbone = TorchvisionBackbone("densenet121", out_indices=(-2, -1)).eval()
    with torch.no_grad():
        stages = backbone.forward_stages(images)
        expected = backbone.network.features(images)
        last, pooled = backbone(images)
    assert torch.equal(stages["features"], expected) and expected.min() < 0
    assert torch.equal(last, expected) and torch.equal(pooled, stages["pooled"])
    widths = dict(zip(backbone.stage_names, backbone.stage_channels, strict=True))
    assert {name: value.shape[1] for name, value in stages.items()} == widths


@pytest.mark.parametrize(
    ("name", "words"), [("resnet19", "did you mean resnet18"), ("squeezenet1_1", "no linear layer")]
)
def test_refusals(name, words):
    with pytest.raises(ValueError, match=words):
        TorchvisionBackbone(name)
