"""Weights out: other libraries load them whole and compute the same."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from conftest_publish import checkpoint, small_config
from torch import nn

from mmdeepcluster.apis import publish
from mmdeepcluster.datasets import Digits, ImageView
from mmdeepcluster.engine import ConfigError, load_trained, load_weights
from mmdeepcluster.models import ClusterNetwork, ImagePreprocessor
from mmdeepcluster.models.backbones import VGG16BN, AlexNet, ResNet, TimmBackbone
from mmdeepcluster.models.weights import export_backbone

TOOL = Path(__file__).parents[2] / "tools" / "model_converters" / "publish_model.py"
SMALL_R18 = {"backbone": {"_delete_": True, "type": "ResNet", "depth": 18}}


@pytest.fixture(scope="module")
def r50(tmp_path_factory):
    """A ResNet-50 of ODC: config, checkpoint, algorithm."""
    path = tmp_path_factory.mktemp("r50") / "epoch_3.pth"
    cfg = small_config("odc/odc_r50.py")
    return cfg, path, checkpoint(cfg, path)


@pytest.fixture(scope="module")
def r18(tmp_path_factory):
    path = tmp_path_factory.mktemp("r18") / "epoch_3.pth"
    cfg = small_config("odc/odc_r50.py", **SMALL_R18)
    return cfg, path, checkpoint(cfg, path)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    path = tmp_path_factory.mktemp("lenet") / "epoch_3.pth"
    cfg = small_config("odc/odc_lenet5_digits.py")
    return cfg, path, checkpoint(cfg, path)


def pooled(backbone, images):
    with torch.no_grad():
        return backbone(images)[-1].mean(dim=(2, 3))


class TestTorchvision:
    def test_resnet50_of_odc_loads_strictly_with_equal_features(self, r50, tmp_path):
        cfg, path, algorithm = r50
        published = publish(cfg, path, tmp_path / "r50.pth", file_format="torchvision")
        network = torchvision.models.resnet50()
        network.fc = nn.Identity()
        network.load_state_dict(torch.load(published.weights, weights_only=True), strict=True)
        images = torch.randn(2, 3, 96, 96)
        with torch.no_grad():
            found = network.eval()(images)
        torch.testing.assert_close(found, pooled(algorithm.backbone, images), atol=1e-5, rtol=0)
        # the plain network, with the classifier that it has
        published = publish(
            cfg, path, tmp_path / "c.pth", file_format="torchvision", num_classes=1000
        )
        weights = torch.load(published.weights, weights_only=True)
        torchvision.models.resnet50().load_state_dict(weights, strict=True)
        assert not weights["fc.weight"].any()
        # R47: nothing of neck and head
        assert not [name for name in weights if name.startswith(("neck", "head"))]

    def test_it_comes_back(self, r18, tmp_path):
        cfg, path, algorithm = r18
        for name in ("a.pth", "a.safetensors"):
            published = publish(cfg, path, tmp_path / name, file_format="torchvision")
            network = load_trained(cfg, path)
            nn.init.zeros_(network.backbone.conv1.weight)
            assert load_weights(network, published.weights).complete
            images = torch.randn(1, 3, 64, 64)
            assert torch.equal(pooled(network.backbone, images), pooled(algorithm.backbone, images))

    @pytest.mark.slow  # 138 million weights
    def test_vgg(self):
        torch.manual_seed(0)
        ours = VGG16BN().eval()
        theirs = torchvision.models.vgg16_bn(num_classes=2).eval()
        exported = export_backbone(ours, "torchvision", num_classes=2)
        assert exported.architecture == "vgg16_bn"
        theirs.load_state_dict(exported.weights, strict=True)
        images = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            expected = theirs.classifier[:4](theirs.features(images).flatten(1))
            torch.testing.assert_close(ours(images)[-1], expected, atol=1e-5, rtol=0)

    def test_alexnet(self):
        torch.manual_seed(0)
        images = torch.randn(1, 3, 224, 224)
        widths = (64, 192, 384, 256, 256)
        ours = AlexNet(widths=widths, batch_norm=False).eval()
        theirs = torchvision.models.alexnet(num_classes=2).eval()
        theirs.load_state_dict(export_backbone(ours, "torchvision", 2).weights, strict=True)
        with torch.no_grad():
            expected = theirs.classifier[:5](theirs.features(images).flatten(1))
            torch.testing.assert_close(ours(images)[-1], expected, atol=1e-5, rtol=0)

    def test_folded_sobel(self):
        torch.manual_seed(0)
        ours = ResNet(depth=18, sobel=True).eval()
        with pytest.raises(ValueError, match=r"no Sobel layer: fold it"):
            export_backbone(ours, "torchvision")
        exported = export_backbone(ours, "torchvision", fold=True)
        assert exported.notes[0].startswith("conv1 is 64 filters of 3x9x9")
        assert exported.notes[1] == "conv1 has stride 2 and padding 4"
        theirs = torchvision.models.resnet18()
        theirs.fc = nn.Identity()
        theirs.conv1 = nn.Conv2d(3, 64, 9, 2, 4, bias=False)
        theirs.eval().load_state_dict(exported.weights, strict=True)
        images = torch.zeros(1, 3, 96, 96)
        images[..., 40:50, 40:50] = torch.randn(3, 10, 10)  # borders are grey, as it needs
        with torch.no_grad():
            expected = ours.run_stages(ours.sobel(images), {0})[0]
            found = theirs.relu(theirs.bn1(theirs.conv1(images)))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_small_stem_is_noted(self):
        exported = export_backbone(ResNet(depth=18, stem="small"), "torchvision")
        assert any("set maxpool to nn.Identity()" in note for note in exported.notes)

    @pytest.mark.parametrize(
        ("backbone", "reason"),
        [
            ({"type": "AlexNet"}, "torchvision's AlexNet has no batch norm"),
            ({"type": "ConvNet"}, "no network like the backbone ConvNet"),
            (
                {"type": "ResNet", "depth": 18, "norm_cfg": {"type": "GN", "num_groups": 8}},
                "other weights",
            ),
        ],
    )
    def test_others_are_refused(self, backbone, reason):
        from mmdeepcluster.registry import BACKBONES

        with torch.device("meta"):
            network = BACKBONES.build(backbone)
        with pytest.raises(ValueError, match=reason):
            export_backbone(network, "torchvision")


class TestTimm:
    def test_resnet_of_ours_and_of_timm(self, r18, tmp_path):
        timm = pytest.importorskip("timm")
        cfg, path, algorithm = r18
        published = publish(cfg, path, tmp_path / "t.pth", file_format="timm")
        theirs = timm.create_model("resnet18", num_classes=0).eval()
        theirs.load_state_dict(torch.load(published.weights, weights_only=True), strict=True)
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            found = theirs(images)
        torch.testing.assert_close(found, pooled(algorithm.backbone, images), atol=1e-5, rtol=0)
        ours = TimmBackbone("resnet18").eval()
        exported = export_backbone(ours, "timm", num_classes=7)
        theirs = timm.create_model("resnet18", num_classes=7).eval()
        theirs.load_state_dict(exported.weights, strict=True)
        with torch.no_grad():
            found = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
            assert torch.equal(found, ours(images)[-1])


class TestOurs:
    def test_files_card_and_clusters(self, lenet, tmp_path):
        cfg, path, algorithm = lenet
        published = publish(cfg, path, tmp_path / "m.pth", license_name="CC0-1.0")
        card = json.loads(published.card.read_text())
        assert published.weights.name == f"m-{card['sha256'][:8]}.pth" == card["file"]
        assert (card["method"], card["num_clusters"], card["license"]) == ("ODC", 4, "CC0-1.0")
        assert card["dataset"]["type"] == "LongTailSubset of Digits"
        assert card["dataset"]["num_images"] == 40 and len(card["dataset"]["fingerprint"]) == 64
        assert card["training"] == {"seed": 0, "epoch": 3, "iter": 9} and card["metrics"] is None
        assert card["input"]["mean"] == pytest.approx([77.9])
        assert str(tmp_path) not in published.card.read_text()
        content = torch.load(published.weights, weights_only=True)
        assert set(content["cluster_state"]) == {
            f"assigner.{name}" for name in algorithm.assigner.state_dict()
        }
        assert not [name for name in content["state_dict"] if name.startswith(("head", "memory"))]
        again = publish(cfg, path, tmp_path / "m.pth", license_name="CC0-1.0")
        assert again.weights == published.weights  # the same bytes
        for file_format in ("mmdeepcluster", "safetensors"):
            published = publish(cfg, path, tmp_path / "x.pth", file_format=file_format)
            modes = {file.stat().st_mode for file in (published.weights, published.card)}
            assert len(modes) == 1  # others may read both
            network = load_trained(cfg, published.weights)
            images = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
            with torch.no_grad():
                features = network(images)
                inputs = algorithm.data_preprocessor({"inputs": images})["inputs"]
                expected = algorithm.extract(inputs, ("neck",))["neck"]
            assert torch.equal(features, expected)
            found = network.assigner.assign(features)
            assert torch.equal(found.cluster, algorithm.assigner.assign(features).cluster)

    def test_figures_of_the_report_are_those_of_the_checkpoint(self, lenet, tmp_path):
        cfg, _, _ = lenet
        for epoch in (2, 3):
            checkpoint(cfg, tmp_path / f"epoch_{epoch}.pth")
        (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_3.pth"))
        (tmp_path / "report.json").write_text('{"memory": {"nmi": 0.5}}')
        card = publish(cfg, tmp_path / "epoch_3.pth", tmp_path / "out" / "a").card
        assert json.loads(card.read_text())["metrics"] == {"memory": {"nmi": 0.5}}
        card = json.loads(publish(cfg, tmp_path / "epoch_2.pth", tmp_path / "b").card.read_text())
        assert card["metrics"] is None and card["notes"] == [
            "no figures: report.json is of epoch_3.pth"
        ]

    def test_refusals(self, lenet, r18, tmp_path):
        cfg, path, _ = lenet
        other = small_config("odc/odc_convnet_cifar10.py")
        with pytest.raises(ConfigError, match=r"does not fit this config: .* weights fit; missing"):
            publish(other, path, tmp_path / "x")
        with pytest.raises(ConfigError, match="is of ODC, the config of DeepCluster"):
            publish(small_config("deepcluster/deepcluster_r50.py"), path, tmp_path / "x")
        torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "tv.pth")
        with pytest.raises(ConfigError, match=r"is not a checkpoint of mmdeepcluster"):
            publish(cfg, tmp_path / "tv.pth", tmp_path / "x")
        with pytest.raises(ConfigError, match="--num-classes and --fold-sobel are for"):
            publish(cfg, path, tmp_path / "x", fold_sobel=True)
        with pytest.raises(ConfigError, match="has no Sobel layer to fold"):
            publish(*r18[:2], tmp_path / "x", file_format="timm", fold_sobel=True)
        with pytest.raises(ConfigError, match="no network like the backbone LeNet5"):
            publish(cfg, path, tmp_path / "x", file_format="torchvision")

    def test_the_tool(self, r18, tmp_path, monkeypatch, capsys):
        cfg, path, _ = r18
        cfg.dump(tmp_path / "c.py")
        arguments = [str(tmp_path / "c.py"), str(path), str(tmp_path / "o.pth"), "--format", "timm"]
        pytest.importorskip("timm")
        monkeypatch.setattr(sys, "argv", [str(TOOL), *arguments])
        runpy.run_path(str(TOOL), run_name="__main__")
        assert "written: " in capsys.readouterr().out
        assert len(list(tmp_path.glob("o-????????.*"))) == 2


class TestClusterNetwork:
    @pytest.mark.parametrize("metric", ["l2", "dot"])
    @pytest.mark.parametrize("projected", [False, True])
    def test_equals_the_assigner(self, metric, projected):
        from mmdeepcluster.clustering import Assigner

        torch.manual_seed(0)
        extra = {"mean": torch.randn(5), "projection": torch.randn(5, 3)} if projected else {}
        assigner = Assigner(torch.randn(6, 3 if projected else 5), metric=metric, **extra)
        backbone = nn.Module()
        backbone.forward = lambda x: (x[:, :, 0, 0],)
        normalise = ImagePreprocessor(mean=[0.0] * 5, std=[255.0] * 5)
        network = ClusterNetwork(normalise, backbone, nn.Identity(), assigner)
        features = torch.randn(50, 5)
        found = network(features[:, :, None, None])
        expected = assigner.assign(features)
        torch.testing.assert_close(found[0], features)
        assert torch.equal(found[1], expected.cluster)
        torch.testing.assert_close(found[2], expected.distance, atol=1e-4, rtol=1e-4)


class TestOnnx:
    @pytest.fixture(autouse=True)
    def _needed(self):
        for name in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(name, reason=f"{name} is not installed")

    def test_onnx_runtime_gives_equal_clusters(self, tmp_path):
        import onnxruntime

        # PCA, then L2, then k-means: projection and centroids are a part of the file
        transform = {"_delete_": True, "type": "PCAWhitening", "dim": 16}
        cfg = small_config("deepcluster/deepcluster_lenet5_digits.py", feature_transform=transform)
        checkpoint(cfg, tmp_path / "epoch_3.pth", own_features=True)
        published = publish(cfg, tmp_path / "epoch_3.pth", tmp_path / "m", file_format="onnx")
        card = json.loads(published.card.read_text())
        assert published.weights.suffix == ".onnx" and card["input_shape"] == [1, 32, 32]
        session = onnxruntime.InferenceSession(published.weights)
        network = load_trained(cfg, tmp_path / "epoch_3.pth")
        view = ImageView(Digits("test"), cfg.eval_pipeline)
        for number in (1, 200):  # any batch
            images = torch.stack([view[i]["inputs"] for i in range(number)]) / 255
            features, cluster, distance = session.run(None, {"images": images.numpy()})
            with torch.no_grad():
                expected = network(images)
            torch.testing.assert_close(torch.from_numpy(features), expected, atol=1e-5, rtol=1e-4)
            found = network.assigner.assign(expected)
            assert torch.equal(torch.from_numpy(cluster), found.cluster)
            torch.testing.assert_close(
                torch.from_numpy(distance), found.distance, atol=1e-4, rtol=1e-3
            )
        assert len(found.cluster.unique()) == 4

    @pytest.mark.slow  # a second graph
    def test_behind_a_sobel_layer(self, tmp_path):
        import onnxruntime

        backbone = {"backbone": {"_delete_": True, "type": "AlexNetMicro", "sobel": True}}
        cfg = small_config("odc/odc_convnet_cifar10.py", **backbone)
        algorithm = checkpoint(cfg, tmp_path / "epoch_3.pth")
        published = publish(cfg, tmp_path / "epoch_3.pth", tmp_path / "m", file_format="onnx")
        session = onnxruntime.InferenceSession(published.weights)
        images = torch.rand(5, 3, 32, 32)
        features, cluster, _ = session.run(None, {"images": images.numpy()})
        found = algorithm.assigner.assign(torch.from_numpy(features))
        assert torch.equal(torch.from_numpy(cluster), found.cluster)
