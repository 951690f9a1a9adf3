"""ClusterModel: everything that a program may call images, and the same answers for all."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.apis import ClusterModel
from mmdeepcluster.clustering import Assigner
from mmdeepcluster.engine import ConfigError, write_atomically
from mmdeepcluster.models import FeatureModel

METADATA = {
    "model": {
        "backbone": {"type": "LeNet5", "in_channels": 1},
        "data_preprocessor": {"type": "ImagePreprocessor", "mean": [128.0], "std": [64.0]},
    },
    "eval_pipeline": [
        {"type": "Grayscale"},
        {"type": "Resize", "size": [32, 32]},
        {"type": "PILToTensor"},
    ],
    "batch_size": 4,
    "custom_imports": None,
}


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (10, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(pixels):
    torch.manual_seed(0)
    network = FeatureModel(**METADATA["model"])
    inputs = network.data_preprocessor({"inputs": torch.from_numpy(pixels)[:, None]})["inputs"]
    with torch.no_grad():
        features = network.eval().extract(inputs, ("backbone",))["backbone"]
    rows = torch.nn.functional.normalize(features)
    # the first three images are centroids: their distance is 0
    return ClusterModel(
        network,
        Assigner(rows[:3]),
        METADATA,
        np.array([5, 3, 2]),
        np.array([40, 7, 12]),
        device="cpu",
    )


@pytest.fixture(scope="module")
def folder(pixels, tmp_path_factory):
    path = tmp_path_factory.mktemp("given")
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(path / f"{number:02d}.png")
    (path / "list.txt").write_text("".join(f"{number:02d}.png\n" for number in range(10)))
    return path


def test_the_same_answer_however_images_are_given(model, pixels, folder):
    expected = model.predict(pixels)
    assert expected.dtype == np.int64 and expected[:3].tolist() == [0, 1, 2]
    names = sorted(folder.glob("*.png"))
    given = [
        folder,
        str(folder),
        folder / "list.txt",
        names,
        [str(name) for name in names],
        [Image.fromarray(image) for image in pixels],
        [Image.open(name).convert("RGBA") for name in names],
        list(pixels),
        np.repeat(pixels[..., None], 3, axis=3),
    ]
    for images in given:
        assert np.array_equal(model.predict(images), expected)
    assert model.predict(names[2]).tolist() == [2]  # one file


def test_assignment_and_features(model, pixels):
    found = model.assign(pixels)
    assert np.allclose(found.distance[:3], 0, atol=1e-3)
    assert found.stable_id.tolist() == [[40, 7, 12][c] for c in found.cluster]
    features = model.transform(pixels)
    assert features.shape == (10, model.feature_dim) and features.dtype == np.float32
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = np.linalg.norm(rows[:, None] - rows[None, :3], axis=2)
    assert np.array_equal(distances.argmin(axis=1), found.cluster)
    ordered = np.sort(distances, axis=1)
    assert np.allclose(ordered[:, 0], found.distance, atol=2e-3)
    assert np.allclose(ordered[:, 1] - ordered[:, 0], found.margin, atol=2e-3)


def test_saved_and_loaded(model, pixels, tmp_path):
    model.save(tmp_path / "model.pth")
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert saved["stable_ids"].tolist() == [40, 7, 12]
    loaded = ClusterModel.load(tmp_path / "model.pth", device="cpu", batch_size=3)
    assert np.array_equal(loaded.predict(pixels), model.predict(pixels))
    assert loaded.counts.tolist() == [5, 3, 2] and loaded.metadata == METADATA
    write_atomically(tmp_path / "newer.pth", {**saved, "version": 99})
    with pytest.raises(ConfigError, match="has version 99"):
        ClusterModel.load(tmp_path / "newer.pth")
    weights = dict(list(saved["state_dict"].items())[1:])
    write_atomically(tmp_path / "less.pth", {**saved, "state_dict": weights})
    with pytest.raises(ConfigError, match=r"cannot be used: .*Missing key"):
        ClusterModel.load(tmp_path / "less.pth")


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (np.zeros((2, 8, 8)), TypeError, "an array of float64 and shape"),
        (np.zeros((8, 8, 3), np.uint8), TypeError, r"give images\[None\]"),
        (np.zeros((0, 8, 8), np.uint8), ValueError, "no images"),
        ([], ValueError, "no images"),
        ("/no/such/folder", FileNotFoundError, "no such folder or file"),
        (["/no/such/file.png"], OSError, "cannot read '/no/such/file.png'"),
        ([3], TypeError, "image 0 is of type int; images are a folder, a list file"),
        (7, TypeError, "images are of type int"),
    ],
)
def test_what_are_no_images(model, images, error, words):
    with pytest.raises(error, match=words):
        model.predict(images)
