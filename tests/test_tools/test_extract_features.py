"""tools/extract_features.py as a user calls it: networks, layers, images, refusals (R72)."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tool_runs import run_here
from torchvision import models

from mmdeepcluster.apis.untrained import untrained_algorithm
from mmdeepcluster.datasets import ImageFolder, ImageView
from mmdeepcluster.engine import load_source, resolve_config, write_atomically
from mmdeepcluster.engine.build import eval_loader
from mmdeepcluster.models import extract

DIGITS = "configs/odc/odc_lenet5_digits.py"
TOOL = "extract_features.py"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        place = folder / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """torchvision's own file of a ResNet-18."""
    torch.manual_seed(0)
    network = models.resnet18().eval()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path, network


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_config_without_a_checkpoint_is_the_network_that_its_training_starts_from(tmp_path):
    assert run_here(TOOL, DIGITS, "--out", tmp_path, "--split", "test") is None
    resolved = resolve_config(DIGITS, {"dataset.split": "test", "evaluation.test_split": None})
    algorithm = untrained_algorithm(resolved, 0)
    expected = extract(algorithm, eval_loader(resolved, resolved.dataset))["neck"]
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert np.array_equal(features, expected.numpy()) and features.shape == (360, 256)
    rows = rows_of(tmp_path / "samples.csv")
    assert [row["label"] for row in rows] == [str(x) for x in resolved.dataset.eval_labels]
    assert {row["cluster"] for row in rows} == {""}
    card = json.loads((tmp_path / "extraction.json").read_text())
    assert card["complete"] and card["origin"] == "random weights of seed 0"


def test_a_network_of_torchvision_by_name(images, weights, tmp_path):
    path, network = weights
    command = [TOOL, "torchvision/resnet18", "--weights", path, "--images", images]
    small = ["--num-workers", 0, "--cfg-options", "eval_pipeline.1.size=64"]
    small += ["eval_pipeline.2.size=64"]
    layers = ["--layer", "backbone", "feat1.avg8", "--labels"]
    assert run_here(*command, "--out", tmp_path / "a", *layers, *small) is None
    found = np.load(tmp_path / "a" / "features_backbone.npy")
    # by torchvision alone
    transform = models.ResNet18_Weights.DEFAULT.transforms(crop_size=64, resize_size=64)
    network.fc = torch.nn.Identity()
    rows = rows_of(tmp_path / "a" / "samples.csv")
    assert [row["label"] for row in rows] == ["a"] * 10 + ["b"] * 10
    batch = torch.stack([transform(Image.open(images / row["path"])) for row in rows])
    with torch.no_grad():
        expected = network(batch).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.load(tmp_path / "a" / "features_feat1.avg8.npy").shape == (20, 64 * 4 * 4)

    half = [*command, "--out", tmp_path / "b", "--dtype", "float16", *small]
    assert run_here(*half) is None
    halves = np.load(tmp_path / "b" / "features.npy")
    assert halves.dtype == np.float16 and np.array_equal(halves, found.astype(np.float16))
    # the same again does nothing, anything else is refused, with what differs
    before = (tmp_path / "b" / "features.npy").stat().st_mtime_ns
    assert run_here(*half) is None
    assert (tmp_path / "b" / "features.npy").stat().st_mtime_ns == before
    other = [*command, "--out", tmp_path / "b", "--layer", "feat2"]
    assert 'dtype: "float16" there, "float32" now; layers: ["backbone"] there, ["feat2"] now' in (
        run_here(*other, *small)
    )
    assert run_here(*other, "--overwrite", *small) is None
    assert np.load(tmp_path / "b" / "features_feat2.npy").shape == (20, 64)
    assert not (tmp_path / "b" / "features.npy").exists()  # of the other card


def test_weights_that_do_not_fit_are_named(images, weights, tmp_path):
    path, _ = weights
    common = ["--weights", path, "--images", images, "--out", tmp_path]
    last = run_here(TOOL, "torchvision/resnet34", *common)
    assert "100 of 180 weights of the backbone fit" in last
    assert "missing in the file: layer1.2.conv1.weight" in last
    assert "load_from_strict" not in last  # an option of trainings
    assert "did you mean resnet18" in run_here(TOOL, "torchvision/resnet19", *common)
    assert "is no network of timm" in run_here(TOOL, "timm/resnet181", *common)
    assert "no weight of the backbone LeNet5 is in it" in run_here(TOOL, DIGITS, *common)
    with_both = run_here(TOOL, DIGITS, path, *common)
    assert f"give --weights {path} or the checkpoint {path}, not both" in with_both
    assert "--pretrained is for torchvision/NAME" in run_here(
        TOOL, DIGITS, "--pretrained", *common[2:]
    )


def test_a_config_takes_the_backbone_of_another_project(images, weights, tmp_path):
    path, network = weights
    config = "configs/odc/odc_r18_cifar10.py"
    small = ["--num-workers", 0, "--cfg-options", "model.backbone.stem=imagenet"]
    command = [TOOL, config, "--weights", path, "--images", images, "--layer", "backbone"]
    assert run_here(*command, "--out", tmp_path, *small) is None
    found = np.load(tmp_path / "features_backbone.npy")
    source = load_source(config, weights=path, options={"model.backbone.stem": "imagenet"})
    assert torch.equal(source.model.backbone.conv1.weight, network.conv1.weight)
    view = ImageView(ImageFolder(images), source.cfg.eval_pipeline)
    batch = torch.stack([view[index]["inputs"] for index in range(20)])
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network(source.model.data_preprocessor({"inputs": batch})["inputs"]).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_list_file_and_unreadable_images(images, tmp_path):
    listed = tmp_path / "list.txt"
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    names = [images / "a" / "02.png", bad, images / "b" / "01.png", images / "a" / "00.png"]
    listed.write_text("".join(f"{name}\n" for name in names))
    command = [TOOL, DIGITS, "--images", listed, "--out", tmp_path / "out"]
    assert "bad.png" in run_here(*command)
    assert run_here(*command, "--unreadable", "skip", "--layer", "conv_1") is None
    rows = rows_of(tmp_path / "out" / "samples.csv")
    assert [row["path"] for row in rows] == [str(names[i]) for i in (0, 2, 3)]
    left_out = (tmp_path / "out" / "unreadable.txt").read_text()
    assert left_out.startswith("bad.png\tUnidentifiedImageError")
    assert np.load(tmp_path / "out" / "features_conv_1.npy").shape[0] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer", "conv_9"], "unknown layers ['conv_9']; this model has ['neck', 'backbone'"),
        (["--images", "/no/such"], "--images /no/such: no such folder or list file"),
        (["--split", "nope"], "set dataset.split to one of 'train', 'test'"),
        (["--batch-size", "0"], "batch_size must be at least 1"),
    ],
)
def test_refusals(arguments, words, tmp_path):
    assert words in run_here(TOOL, DIGITS, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_no_images_and_output_of_others(images, tmp_path):
    (tmp_path / "empty").mkdir()
    command = [TOOL, DIGITS, "--images", tmp_path / "empty", "--out", tmp_path / "out"]
    assert "no image in" in run_here(*command)
    assert "a network by name has no images" in run_here(
        TOOL, "torchvision/resnet18", "--out", tmp_path / "out"
    )
    out = tmp_path / "old"
    out.mkdir()
    (out / "features.npy").write_bytes(b"precious")
    last = run_here(TOOL, DIGITS, "--images", images, "--out", out)
    assert "holds features.npy already, from elsewhere" in last and "--overwrite" in last
    assert (out / "features.npy").read_bytes() == b"precious"


def test_a_checkpoint_of_another_network(tmp_path):
    path = tmp_path / "other.pth"
    identity = {"method": "DeepCluster"}
    write_atomically(path, {"mmdeepcluster": identity, "state_dict": {}})
    last = run_here(TOOL, DIGITS, path, "--out", tmp_path / "out")
    assert f"{path} is of DeepCluster, the config of ODC" in last
    identity["method"] = "ODC"
    write_atomically(path, {"mmdeepcluster": identity, "state_dict": {"backbone.a": torch.ones(1)}})
    last = run_here(TOOL, DIGITS, path, "--out", tmp_path / "out")
    assert "does not fit this config: 0 of " in last and "unexpected backbone.a" in last
    assert f"checkpoint {tmp_path / 'none.pth'} does not exist" in run_here(
        TOOL, DIGITS, tmp_path / "none.pth", "--out", tmp_path / "out"
    )
