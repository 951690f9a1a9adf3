"""R51: training starts from files of other projects, whole or not at all."""

import argparse
import re

import pytest
import torch
import torchvision
from torch import nn

from mmdeepcluster.engine import ConfigError, load_weights
from mmdeepcluster.models import AveragePoolNeck, ODCNeck
from mmdeepcluster.models.backbones import VGG16BN, AlexNet, ConvNet, ResNet, TimmBackbone

FC = (8, 8)
NARROW = (4, 4, 4, 4, 4)


class Network(nn.Module):
    def __init__(self, backbone, neck=None):
        super().__init__()
        self.backbone = backbone
        self.neck = neck or AveragePoolNeck(backbone.out_channels)
        self.head = nn.Linear(2, 2)


def r18(**options):
    return Network(ResNet(depth=18, **options))


@pytest.fixture(scope="module")
def source():
    """A network of torchvision whose weights and statistics are random numbers of one seed."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    for name, value in network.state_dict().items():
        if "running" in name:
            value.copy_(torch.rand_like(value) + 0.5)
    return network


def body(source, prefix, fc="fc."):
    return {
        prefix + (fc + key[3:] if key.startswith("fc.") else key): value
        for key, value in source.state_dict().items()
    }


def head(prefix):
    return {f"{prefix}0.weight": torch.ones(3, 512), f"{prefix}0.bias": torch.ones(3)}


# Built as each project saves it: name, what the report must call it, content.
LAYOUTS = {
    "torchvision": ("torchvision", lambda s: s.state_dict()),
    "parallel": ("wrapped", lambda s: {"state_dict": body(s, "module.")}),
    "moco_v2": (
        "MoCo v1/v2",
        lambda s: {
            "epoch": 200,
            "arch": "resnet18",
            "state_dict": {
                **{k: torch.zeros_like(v) for k, v in body(s, "module.encoder_k.").items()},
                **body(s, "module.encoder_q."),
                "module.queue": torch.zeros(128, 16),
            },
        },
    ),
    "moco_v3": (
        "MoCo v3",
        lambda s: {
            "state_dict": {
                **{k: torch.zeros_like(v) for k, v in body(s, "module.momentum_encoder.").items()},
                **body(s, "module.base_encoder."),
                **head("module.predictor."),
            }
        },
    ),
    "swav": (
        "SwAV",
        lambda s: {
            **{k: v for k, v in body(s, "module.").items() if ".fc." not in k},
            **head("module.projection_head."),
            "module.prototypes.weight": torch.zeros(30, 128),
        },
    ),
    "dino": (
        r"DINO \(teacher\)",
        lambda s: {
            "student": {k: torch.zeros_like(v) for k, v in body(s, "module.backbone.").items()},
            "teacher": {
                **{k: v for k, v in body(s, "backbone.").items() if ".fc." not in k},
                **head("head.mlp."),
            },
            "args": argparse.Namespace(arch="resnet18"),
            "epoch": 3,
        },
    ),
    "openmmlab": (
        "OpenMMLab",
        lambda s: {"meta": {"epoch": 1}, "state_dict": {**body(s, "backbone."), **head("head.")}},
    ),
    "vissl": (
        "VISSL",
        lambda s: {
            "classy_state_dict": {
                "base_model": {"model": {"trunk": body(s, "_feature_blocks."), "heads": head("0.")}}
            }
        },
    ),
    "unknown": (
        r"unknown .* below 'weights.net.body'",
        lambda s: {"weights": body(s, "net.body.")},
    ),
}


class TestLayouts:
    @pytest.mark.parametrize("name", LAYOUTS)
    def test_full_match_and_equal_features(self, name, source, tmp_path):
        layout, content = LAYOUTS[name]
        torch.save(content(source), tmp_path / "weights.pth")
        network = r18()
        match = load_weights(network, tmp_path / "weights.pth")
        assert match.complete and len(match.matched) == match.backbone_size == 100
        assert not match.missing and not match.mismatched and not match.unexpected
        report = "\n".join(match.lines())
        assert "100 of 100 weights matched" in report
        assert re.search(layout, match.layout), match.layout
        assert "starts anew: head" in report
        images = torch.randn(2, 3, 64, 64)
        x = source.maxpool(source.relu(source.bn1(source.conv1(images))))
        expected = source.layer4(source.layer3(source.layer2(source.layer1(x))))
        with torch.no_grad():
            assert torch.equal(network.eval().backbone(images)[-1], expected)

    def test_what_is_not_used_is_named(self, source, tmp_path):
        torch.save(LAYOUTS["moco_v2"][1](source), tmp_path / "moco.pth")
        match = load_weights(r18(), tmp_path / "moco.pth")
        assert match.left_out["module.queue"] == 1 and match.left_out["module.encoder_q.fc"] == 2
        assert sum(match.left_out.values()) == 122 + 3

    def test_safetensors_and_old_files(self, source, tmp_path):
        safetensors = pytest.importorskip("safetensors.torch")
        safetensors.save_file(source.state_dict(), tmp_path / "w.safetensors")
        torch.save(source.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
        for name in ("w.safetensors", "w.pth"):
            assert load_weights(r18(), tmp_path / name).complete

    def test_timm_network(self, tmp_path):
        timm = pytest.importorskip("timm")
        torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "w.pth")
        match = load_weights(Network(TimmBackbone("resnet18")), tmp_path / "w.pth")
        assert match.complete and match.layout == "timm"
        assert load_weights(r18(), tmp_path / "w.pth").complete

    def test_vision_transformer_of_dino(self, tmp_path):
        timm = pytest.importorskip("timm")
        name = "test_vit"  # timm's smallest, with the names of all its vision transformers
        theirs = timm.create_model(name, num_classes=0).eval()
        backbone = {f"module.backbone.{key}": v for key, v in theirs.state_dict().items()}
        other = {key: torch.zeros_like(v) for key, v in backbone.items()}
        torch.save({"student": other, "teacher": backbone, "epoch": 9}, tmp_path / "w.pth")
        network = Network(TimmBackbone(name)).eval()
        match = load_weights(network, tmp_path / "w.pth")
        assert match.complete and match.layout == "DINO (teacher)"
        images = torch.randn(2, 3, *theirs.patch_embed.img_size)
        with torch.no_grad():
            assert torch.equal(network.backbone(images)[-1], theirs(images))

    def test_neck_of_odc_of_openmmlab(self, source, tmp_path):
        theirs = ODCNeck(512, 8, 4)
        neck = {
            f"neck.{name}": torch.rand_like(v.float()) for name, v in theirs.state_dict().items()
        }
        torch.save({"state_dict": {**body(source, "backbone."), **neck}}, tmp_path / "odc.pth")
        network = Network(ResNet(depth=18), ODCNeck(512, 8, 4))
        assert "neck: taken from the file" in load_weights(network, tmp_path / "odc.pth").lines()
        assert torch.equal(network.neck.fc1.weight, neck["neck.fc1.weight"])
        other = Network(ResNet(depth=18), ODCNeck(512, 8, 6))
        before = other.neck.fc0.weight.clone()
        match = load_weights(other, tmp_path / "odc.pth")
        assert "fc1.weight" in match.anew["neck"] and torch.equal(other.neck.fc0.weight, before)


def deepcluster_alexnet(batch_norm=True):
    """AlexNet in the numbering of DeepCluster's code: convolutions have a bias before BN."""
    layers, channels = [], 2
    for kernel, stride, padding, pool in (
        (11, 4, 2, True),
        (5, 1, 2, True),
        (3, 1, 1, False),
        (3, 1, 1, False),
        (3, 1, 1, True),
    ):
        layers += [nn.Conv2d(channels, 4, kernel, stride, padding), nn.BatchNorm2d(4), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] if pool else []
        channels = 4
    classifier = [nn.Dropout(), nn.Linear(4 * 36, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8)]
    network = nn.Sequential()
    network.features, network.classifier = nn.Sequential(*layers), nn.Sequential(*classifier)
    network.sobel = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 3, padding=1))
    nn.init.constant_(network.sobel[0].weight, 1 / 3)
    columns = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    network.sobel[1].weight.data = torch.stack([columns, columns.T])[:, None]
    for conv in network.sobel:
        nn.init.zeros_(conv.bias)
    return network


class TestDeepCluster:
    """Layers are numbered, biases stand before BN, Sobel is a part of the file."""

    def content(self, network):
        weights = {
            key.replace("features.", "features.module."): value
            for key, value in network.state_dict().items()
        }
        return {"arch": "alexnet", "state_dict": {**weights, "top_layer.weight": torch.ones(9, 8)}}

    @pytest.mark.parametrize("training", [False, True])
    def test_equal_features_with_biases_of_convolutions(self, training, tmp_path):
        torch.manual_seed(0)
        theirs = deepcluster_alexnet()
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean)
        torch.save(self.content(theirs), tmp_path / "w.pth")
        ours = Network(AlexNet(widths=NARROW, fc_channels=FC, sobel=True, dropout=0.0))
        match = load_weights(ours, tmp_path / "w.pth")
        assert match.complete and match.layout == "DeepCluster"
        assert match.left_out == {"top_layer": 1, "sobel.0": 1, "sobel.1": 1}
        images = torch.randn(2, 3, 224, 224)
        theirs.train(training)
        theirs.classifier.eval()
        ours.train(training)
        with torch.no_grad():
            expected = theirs.classifier(theirs.features(theirs.sobel(images)).flatten(1))
            found = ours.backbone(images)[-1]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            # statistics that training has moved since stay apart by the bias
            theirs.eval(), ours.eval()
            expected = theirs.classifier(theirs.features(theirs.sobel(images)).flatten(1))
            torch.testing.assert_close(ours.backbone(images)[-1], expected, atol=1e-5, rtol=1e-5)

    def test_other_sobel_kernels_are_refused(self, tmp_path):
        theirs = deepcluster_alexnet()
        theirs.sobel[1].weight.data *= -1
        torch.save(self.content(theirs), tmp_path / "w.pth")
        ours = Network(AlexNet(widths=NARROW, fc_channels=FC, sobel=True))
        with pytest.raises(ConfigError, match="Sobel kernels of the file are not ours"):
            load_weights(ours, tmp_path / "w.pth")

    def test_sobel_or_not(self, tmp_path):
        # channels of the first convolution: 2 behind a Sobel layer, 3 without
        torch.save(self.content(deepcluster_alexnet()), tmp_path / "w.pth")
        plain = Network(AlexNet(widths=NARROW, fc_channels=FC))
        with pytest.raises(ConfigError, match=r"takes 2 channels, .*set model.backbone.sobel=True"):
            load_weights(plain, tmp_path / "w.pth")
        torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "r.pth")
        with pytest.raises(
            ConfigError, match=r"takes 3 channels, .*set model.backbone.sobel=False"
        ):
            load_weights(r18(sobel=True), tmp_path / "r.pth")
        with pytest.raises(ConfigError, match=r"set model.backbone.in_channels=3"):
            load_weights(r18(in_channels=1), tmp_path / "r.pth")

    @pytest.mark.slow  # VGG-16 at 224 pixels
    def test_vgg_of_torchvision_and_deepercluster(self, tmp_path):
        torch.manual_seed(0)
        theirs = torchvision.models.vgg16_bn(num_classes=3)
        theirs.classifier[0], theirs.classifier[3] = nn.Linear(25088, 8), nn.Linear(8, 8)
        for module in theirs.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.uniform_(module.bias)
        ours = Network(VGG16BN(fc_channels=FC)).eval()
        torch.save({k: v for k, v in theirs.state_dict().items() if "classifier.6" not in k},
                   tmp_path / "w.pth")  # fmt: skip
        match = load_weights(ours, tmp_path / "w.pth")
        assert match.complete and match.layout == "torchvision"
        images = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            expected = theirs.eval().classifier[:4](theirs.features(images).flatten(1))
            torch.testing.assert_close(ours.backbone(images)[-1], expected, atol=1e-5, rtol=1e-4)
        wrapped = {f"module.body.{k}": v for k, v in theirs.state_dict().items()}
        torch.save({"state_dict": {**wrapped, "module.pred_layer.weight": torch.ones(2, 8)}},
                   tmp_path / "d.pth")  # fmt: skip
        other = Network(VGG16BN(fc_channels=FC)).eval()
        match = load_weights(other, tmp_path / "d.pth")
        assert match.complete and match.layout == "DeeperCluster"
        assert match.left_out == {"module.body.classifier": 2, "module.pred_layer": 1}
        for name, value in ours.backbone.state_dict().items():
            assert torch.equal(other.backbone.state_dict()[name], value), name

    def test_alexnet_of_torchvision_without_bn(self, tmp_path):
        theirs = torchvision.models.alexnet(num_classes=2)
        theirs.classifier[1], theirs.classifier[4] = nn.Linear(9216, 8), nn.Linear(8, 8)
        torch.save({k: v for k, v in theirs.state_dict().items() if "classifier.6" not in k},
                   tmp_path / "w.pth")  # fmt: skip
        widths = (64, 192, 384, 256, 256)
        ours = Network(AlexNet(widths=widths, fc_channels=FC, batch_norm=False)).eval()
        assert load_weights(ours, tmp_path / "w.pth").complete
        images = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            expected = theirs.eval().classifier[:5](theirs.features(images).flatten(1))
            torch.testing.assert_close(ours.backbone(images)[-1], expected, atol=1e-5, rtol=1e-5)


class TestRefusals:
    def test_a_part_is_refused_and_nothing_is_loaded(self, source, tmp_path):
        weights = source.state_dict()
        del weights["layer3.0.conv2.weight"], weights["bn1.running_mean"]
        torch.save(weights, tmp_path / "w.pth")
        network = r18()
        before = network.backbone.conv1.weight.clone()
        with pytest.raises(ConfigError) as raised:
            load_weights(network, tmp_path / "w.pth")
        text = str(raised.value)
        assert "98 of 100" in text and "fits set strict=False" in text
        assert "layer3.0.conv2.weight" in text and "bn1.running_mean" in text
        assert torch.equal(network.backbone.conv1.weight, before)
        match = load_weights(network, tmp_path / "w.pth", strict=False)
        assert match.missing == ["bn1.running_mean", "layer3.0.conv2.weight"]
        assert torch.equal(network.backbone.conv1.weight, source.conv1.weight)

    def test_a_deeper_network_is_refused(self, source, tmp_path):
        # all weights of a ResNet-18 stand in it, in the right shapes
        torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "w.pth")
        with pytest.raises(ConfigError, match=r"layer1.2.conv1.weight.*model.backbone.depth"):
            load_weights(r18(), tmp_path / "w.pth")

    def test_another_network_is_named(self, source, tmp_path):
        torch.save(source.state_dict(), tmp_path / "w.pth")
        with pytest.raises(ConfigError, match="no weight of the backbone ConvNet is in it"):
            load_weights(Network(ConvNet()), tmp_path / "w.pth")
        torch.save({"epoch": 3}, tmp_path / "w.pth")
        with pytest.raises(ConfigError, match="no tensor in it; its keys are epoch"):
            load_weights(r18(), tmp_path / "w.pth")

    def test_small_stem(self, source, tmp_path):
        torch.save(source.state_dict(), tmp_path / "w.pth")
        with pytest.raises(ConfigError, match=r"7x7, that of the backbone 3x3: see .*stem"):
            load_weights(r18(stem="small"), tmp_path / "w.pth")

    def test_two_unknown_networks_are_not_guessed_between(self, source, tmp_path):
        torch.save({"a": body(source, "x."), "b": body(source, "y.")}, tmp_path / "w.pth")
        with pytest.raises(ConfigError, match=r"several networks in it fit: .*'a.x'.*'b.y'"):
            load_weights(r18(), tmp_path / "w.pth")

    def test_nothing_is_executed(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (type(tmp_path).touch, (tmp_path / "executed",))

        torch.save({"state_dict": {"conv1.weight": Evil()}}, tmp_path / "w.pth")
        with pytest.raises(ConfigError, match="of such a file keep the weights"):
            load_weights(r18(), tmp_path / "w.pth")
        assert not (tmp_path / "executed").exists()
