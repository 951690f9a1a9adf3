"""Parameters and multiply-adds against numbers worked out by hand."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info

from mmdeepcluster.apis import complexity, complexity_table
from mmdeepcluster.apis.complexity import readable
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.models.backbones import ResNet

DIGITS = "configs/odc/odc_lenet5_digits.py"
# Weights, multiply-adds and outputs of LeNet-5 with 32x32 grey images, and of neck and head.
BY_HAND = {
    "backbone.conv1": (6 * 25, 6 * 28 * 28 * 25, 6 * 28 * 28),
    "backbone.bn1": (12, 0, 0),
    "backbone.conv2": (16 * 6 * 25, 16 * 10 * 10 * 6 * 25, 16 * 10 * 10),
    "backbone.bn2": (32, 0, 0),
    "backbone.fc1": (400 * 120 + 120, 400 * 120, 120),
    "backbone.fc2": (120 * 84 + 84, 120 * 84, 84),
    "neck.fc0": (84 * 256 + 256, 84 * 256, 256),
    "neck.fc1": (256 * 256 + 256, 256 * 256, 256),
    "head.fc": (256 * 20 + 20, 256 * 20, 20),
}


def test_lenet_by_hand():
    found = complexity(DIGITS)
    modules = {m.name: (m.parameters, m.macs, m.activations) for m in found.modules}
    assert modules == BY_HAND and list(modules) == list(BY_HAND)
    forward = sum(macs for _, macs, _ in BY_HAND.values())
    assert found.total().macs == forward
    assert found.total("neck").parameters == 84 * 256 + 256 + 256 * 256 + 256
    # backward: gradients of weights and of inputs; the images need none
    assert found.training == 3 * forward - BY_HAND["backbone.conv1"][1]
    assert found.extraction == forward - 256 * 20
    assert (found.num_samples, found.note) == (1437, None)
    assert found.train_shape == found.eval_shape == (1, 32, 32)
    outputs = {m.name: m.output for m in found.modules}
    assert outputs["backbone.conv2"] == (16, 10, 10) and outputs["head.fc"] == (20,)


def test_the_table_sums_up_and_says_what_an_epoch_costs():
    found = complexity(DIGITS, dataset_size=1000)
    text = complexity_table(found)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert rows["backbone.conv2"] == [
        "backbone.conv2", "Conv2d", "16x10x10", "2,400", "240", "K", "1,600",
    ]  # fmt: skip
    assert rows["total"] == ["total", "153,570", "507.8", "K", "7,040"]
    assert "1.406 M an image, 1.406 G an epoch of 1,000 images" in text
    assert "once, before the first epoch): 502.7 K an image" in text
    short = complexity_table(found, depth=0)
    assert "conv2" not in short and "neck" in short and "507.8 K" in short
    assert [readable(n) for n in (0, 999, 1000, 4_089_184_256)] == ["0", "999", "1 K", "4.089 G"]


def test_a_network_whose_images_are_not_there(tmp_path):
    options = {"dataset.root": str(tmp_path / "none")}
    found = complexity("configs/odc/odc_r50.py", options=options)
    assert found.num_samples is None and "none" in found.note
    assert "no cost of an epoch" in complexity_table(found, depth=0)
    assert found.train_shape == (3, 224, 224)
    # the published 25.557 M of ResNet-50 are with 2.049 M of its classifier
    assert found.total("backbone").parameters == 25_557_032 - 1000 * 2049
    assert found.total("backbone").macs == 4_089_184_256 - 1000 * 2048
    with pytest.raises(ConfigError, match=r"model\.num_clusters='auto' .* --dataset-size"):
        complexity("configs/odc/odc_r50.py", options=options | {"model.num_clusters": "auto"})


def test_mmengine_counts_the_same():
    torch.manual_seed(0)
    network = ResNet(depth=18, in_channels=3)
    info = get_model_complexity_info(network, inputs=(torch.zeros(1, 3, 64, 64),), show_table=False)
    options = {"model.backbone.depth": 18, "dataset.root": "/no/such/folder"}
    found = complexity("configs/odc/odc_r50.py", (64, 64), options=options).total("backbone")
    # MMEngine adds norms and pooling, two FLOPs of batch norm for an output among them
    assert found.parameters == info["params"]
    assert found.macs < info["flops"] < 1.02 * found.macs
    larger = complexity("configs/odc/odc_r50.py", [128], options=options).total("backbone")
    assert larger.macs == 4 * found.macs and larger.parameters == found.parameters


def test_methods_that_alternate_and_classify_in_two_levels(tmp_path):
    config = "configs/deepercluster/deepercluster_convnet_photos.py"
    options = {"model.num_clusters": 40, "dataset.root": str(tmp_path / "none")}
    found = complexity(config, options=options, dataset_size=2000)
    assert found.extracts == "every 10 epochs" and found.train_shape == (3, 64, 64)
    width = 256  # channels of the last map, which the neck averages
    # an image: 8 super-classes, and the 20 clusters of its own
    assert found.total("head").macs == width * 8 + width * 20
    assert found.total("head").parameters == (width + 1) * 8 + 8 * (width + 1) * 20
    found = complexity("configs/deepcluster/deepcluster_lenet5_digits.py")
    assert found.extracts == "before each epoch"
    kept = {"model.features": "from_training"}
    found = complexity("configs/deepcluster/deepcluster_lenet5_digits.py", options=kept)
    assert found.extracts == "once, before the first epoch"


def test_shapes_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"do not fit the model: .*32x32"):
        complexity(DIGITS, [28, 28])
    with pytest.raises(ConfigError, match=r"--shape takes height and width"):
        complexity(DIGITS, [28, 28, 3])
