"""A data set through OpenCV: the draw alone decides, files of every kind are read (R2, R3, R48)."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.datasets import (
    ClassSubset,
    Draw,
    ImageFolder,
    ImageView,
    OpenCVView,
    build_train_loader,
)
from mmdeepcluster.datasets.base import ArrayImageDataset

PIPELINE = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=16, scale=(0.2, 1.0)),
    dict(type="RandomHorizontalFlip"),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type="RandomGrayscale", p=0.2),
    dict(type="PILToTensor"),
]
PLAIN = [dict(type="CenterCrop", size=(30, 40)), dict(type="PILToTensor")]


@pytest.fixture
def folder(tmp_path):
    """Seven small photos in two classes: JPEG, grey JPEG, CMYK JPEG, PNG and a palette."""
    y, x = np.mgrid[:30, :40]
    for number in range(7):
        pixels = np.stack([6 * x, 8 * y, 30 * number + x + y], axis=-1).astype(np.uint8)
        image = Image.fromarray(pixels)
        place = tmp_path / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        if number == 2:
            image.convert("L").save(place / "2.jpg")
        elif number == 3:
            image.convert("CMYK").save(place / "3.jpg")
        elif number == 4:
            image.convert("P").save(place / "4.png")
        else:
            image.save(place / f"{number}.{'png' if number == 5 else 'jpg'}")
    return tmp_path


def batches(view, num_workers):
    loader = build_train_loader(view, batch_size=3, num_workers=num_workers, seed=5)
    loader.batch_sampler.sampler.set_epoch(1)
    return list(loader)


def test_files_of_all_kinds_are_as_pillow_reads_them(folder):
    dataset = ImageFolder(folder)
    reference, view = ImageView(dataset, PLAIN), OpenCVView(dataset, PLAIN)
    assert view.image_shape == reference.image_shape == (3, 30, 40)
    for index in range(7):
        item = view[index]
        assert torch.equal(item["inputs"], reference[index]["inputs"])
        assert item["sample_idx"] == index
    assert "OpenCV" in repr(view)


def test_the_draw_alone_decides(folder):
    view = OpenCVView(ImageFolder(folder), PIPELINE)
    before = torch.get_rng_state()
    first = view[Draw(0, 1)]["inputs"]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert torch.equal(view[Draw(0, 1)]["inputs"], first)
    assert not torch.equal(view[Draw(0, 2)]["inputs"], first)


def test_the_same_bits_with_any_number_of_workers(folder):
    view = OpenCVView(ImageFolder(folder), PIPELINE)
    for left, right in zip(batches(view, 0), batches(view, 2), strict=True):
        assert torch.equal(left["sample_idx"], right["sample_idx"])
        assert torch.equal(left["inputs"], right["inputs"])


class ThreadCount(ArrayImageDataset):
    """Images whose pixels are the number of OpenCV's threads in the process that loads them."""

    def load_image(self, index):
        return Image.new("L", (2, 2), cv2.getNumThreads())


def test_opencv_has_one_thread_in_every_worker():
    view = OpenCVView(ThreadCount(np.zeros((4, 2, 2), np.uint8), "train"), PLAIN[1:])
    for num_workers in (0, 2):
        for batch in batches(view, num_workers):
            assert int(batch["inputs"].max()) <= 1


def test_images_in_memory_and_parts_of_folders(folder):
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 9), dtype=np.uint8)
    view = OpenCVView(ArrayImageDataset(images, "train"), PLAIN[1:])
    np.testing.assert_array_equal(view[2]["inputs"][0], images[2])
    part = ClassSubset(ImageFolder(folder, labels="folder"), num_classes=1, num_images=3)
    assert part.read_file(0) == part.whole.read_file(int(part.indices[0]))
    view = OpenCVView(part, PLAIN)
    for index in range(3):
        assert torch.equal(view[index]["inputs"], ImageView(part, PLAIN)[index]["inputs"])


@pytest.mark.parametrize("policy", ["fail", "trust"])
def test_a_file_that_breaks_later_is_named(folder, cut, policy):
    view = OpenCVView(ImageFolder(folder, unreadable=policy), PIPELINE)
    cut(folder / "b" / "1.jpg")
    with pytest.raises(OSError, match=r"cannot read 'b/1\.jpg' \(sample 4 of .*[Tt]runc") as caught:
        view[Draw(4, 0)]
    assert ("unreadable='trust'" in str(caught.value)) == (policy == "trust")
    (folder / "b" / "1.jpg").unlink()
    with pytest.raises(OSError, match=r"cannot read 'b/1\.jpg'"):
        view[Draw(4, 0)]


def test_a_file_whose_pixels_are_damaged_is_named(folder):
    view = OpenCVView(ImageFolder(folder), PIPELINE, name="train_pipeline")
    data = (folder / "b" / "1.jpg").read_bytes()
    (folder / "b" / "1.jpg").write_bytes(data[: data.index(b"\xff\xda")] + data[-2:])
    with pytest.raises(OSError, match=r"^cannot read 'b/1\.jpg' \(sample 4"):
        view[Draw(4, 0)]


def test_messages_name_the_pipeline_and_the_sample(folder):
    dataset = ImageFolder(folder)
    with pytest.raises(ValueError, match=r"^train_pipeline: train_dataloader\.transforms='opencv'"):
        OpenCVView(dataset, [dict(type="RandomInvert"), *PLAIN], name="train_pipeline")
    with pytest.raises(RuntimeError, match=r"fails on 'a/0\.jpg' \(sample 0, 40x30 RGB\)"):
        OpenCVView(dataset, [dict(type="RandomCrop", size=99), *PLAIN], name="train_pipeline")
