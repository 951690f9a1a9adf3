"""torchvision's data sets: official splits, clear messages, no download unasked (R35)."""

import hashlib

import numpy as np
import pytest
import scipy.io
import torchvision.datasets.utils

from mmdeepcluster import datasets
from mmdeepcluster.datasets.base import ArrayImageDataset

NAMES = ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A download in these tests is an error, not traffic."""

    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("tried to download")

    monkeypatch.setattr(torchvision.datasets.utils.urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_names_the_root_and_both_remedies(tmp_path, name):
    with pytest.raises(FileNotFoundError) as error:
        getattr(datasets, name)(tmp_path)
    message = str(error.value)
    for part in (name, str(tmp_path), "dataset.download=True", "dataset.root"):
        assert part in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_unknown_split_lists_the_splits(tmp_path, name):
    kind = getattr(datasets, name)
    with pytest.raises(ValueError, match=rf"{name} has no split 'val'.*dataset\.split") as error:
        kind(tmp_path, split="val")
    assert all(repr(split) in str(error.value) for split in kind.splits)


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN"])
def test_download_is_tried_when_asked(tmp_path, name):
    with pytest.raises(ConnectionRefusedError, match="tried to download"):
        getattr(datasets, name)(tmp_path, download=True)


def write_svhn(folder, count=12):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    labels = (np.arange(count) % 10 + 1).reshape(-1, 1).astype(np.uint8)
    scipy.io.savemat(folder / "test_32x32.mat", {"X": images, "y": labels})
    return images


def test_svhn_subset_needs_its_option(tmp_path):
    images = write_svhn(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"dataset\.check_integrity=False"):
        datasets.SVHN(tmp_path, split="test")
    dataset = datasets.SVHN(tmp_path, split="test", check_integrity=False)
    assert len(dataset) == 12
    np.testing.assert_array_equal(dataset.eval_labels[:11], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    for index in range(12):
        image = dataset.load_image(index)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), images[..., index])
    assert dataset.sample_name(3) == "test/3" and dataset.class_names == tuple("0123456789")
    with_download = datasets.SVHN(tmp_path, split="test", download=True, check_integrity=False)
    assert with_download.fingerprint() == dataset.fingerprint()


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        "mmdeepcluster.datasets.torchvision_sets.print_log", lambda text, *_: lines.append(text)
    )
    return lines


def test_svhn_subset_is_named_in_the_log(tmp_path, logged, monkeypatch):
    write_svhn(tmp_path)
    path = tmp_path / "test_32x32.mat"
    datasets.SVHN(tmp_path, split="test", check_integrity=False)
    assert len(logged) == 1
    for part in (repr(str(path)), "not the official file", "12 images instead of 26,032"):
        assert part in logged[0]
    # the official file needs no word, also where it need not be it
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    official = {"test": ["", path.name, md5]}
    monkeypatch.setattr("torchvision.datasets.SVHN.split_list", official)
    for check in (True, False):
        assert len(datasets.SVHN(tmp_path, split="test", check_integrity=check)) == 12
    assert len(logged) == 1


def write_stl10(folder):
    base = folder / "stl10_binary"
    base.mkdir()
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)  # channels, columns, rows
    for name in ("train_X", "test_X", "unlabeled_X"):
        stored.tofile(base / f"{name}.bin")
    for name in ("train_y", "test_y"):
        np.array([1, 10, 2, 3], dtype=np.uint8).tofile(base / f"{name}.bin")
    return stored


def test_stl10_unlabeled_has_no_labels(tmp_path, monkeypatch):
    stored = write_stl10(tmp_path)
    # the files are not the official ones; everything after torchvision's MD5 check is real
    monkeypatch.setattr("torchvision.datasets.STL10._check_integrity", lambda self: True)
    train = datasets.STL10(tmp_path)
    np.testing.assert_array_equal(train.eval_labels, [0, 9, 1, 2])
    np.testing.assert_array_equal(np.asarray(train.load_image(2)), stored[2].transpose(2, 1, 0))
    assert datasets.STL10(tmp_path, "unlabeled").eval_labels is None
    both = datasets.STL10(tmp_path, "train+unlabeled")
    assert len(both) == 8 and both.eval_labels is None


@pytest.mark.parametrize("content", [b"\0\0\x08\x01\0\0\0\x05\0", b"\0\0\x07\x01", b""])
def test_damaged_mnist_file(tmp_path, content):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=r"FashionMNIST: a file under .* is damaged"):
        datasets.FashionMNIST(tmp_path)


def test_array_images_are_checked():
    with pytest.raises(ValueError, match=r"uint8 of shape.*got float64"):
        ArrayImageDataset(np.zeros((2, 4, 4)), "train")
    with pytest.raises(ValueError, match="2 images but labels of shape"):
        ArrayImageDataset(np.zeros((2, 4, 4), np.uint8), "train", np.zeros(3, np.int64))


def test_fingerprint_is_of_the_pixels_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 3, 3), dtype=np.uint8)
    one = ArrayImageDataset(pixels, "train").fingerprint()
    strided = np.asfortranarray(pixels)
    assert ArrayImageDataset(strided, "test", np.zeros(5000, np.int64)).fingerprint() == one
    changed = pixels.copy()
    changed[-1, -1, -1] += 1
    assert ArrayImageDataset(changed, "train").fingerprint() != one


@pytest.mark.parametrize(
    ("name", "split", "size", "mode"),
    [
        ("FashionMNIST", "train", 60_000, "L"),
        ("FashionMNIST", "test", 10_000, "L"),
        ("CIFAR10", "train", 50_000, "RGB"),
        ("CIFAR10", "test", 10_000, "RGB"),
    ],
)
def test_official_sizes(real_data, name, split, size, mode):
    dataset = getattr(datasets, name)(real_data, split=split)
    assert len(dataset) == size
    assert dataset.load_image(size - 1).mode == mode
    np.testing.assert_array_equal(np.bincount(dataset.eval_labels), [size // 10] * 10)
    assert len(dataset.class_names) == 10


def test_real_svhn_subset(real_data):
    dataset = datasets.SVHN(real_data / "SVHN_first10000", split="test", check_integrity=False)
    counts = [684, 1968, 1590, 1104, 964, 909, 773, 767, 621, 620]  # of the data's README
    np.testing.assert_array_equal(np.bincount(dataset.eval_labels), counts)
