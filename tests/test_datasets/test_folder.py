"""A plain folder of images, nested or flat (R73), and what is said when it is none."""

import logging
import os
import shutil

import numpy as np
import pytest

from mmdeepcluster.datasets import ImageFolder
from mmdeepcluster.registry import DATASETS


def names(dataset) -> list[str]:
    return [dataset.sample_name(index) for index in range(len(dataset))]


def test_flat_folder_of_50_images(tmp_path, save_image):
    for number in range(50):
        save_image(f"image_{number:02d}.png")
    dataset = DATASETS.build(dict(type="mmdeepcluster.ImageFolder", root=str(tmp_path)))
    assert names(dataset) == [f"image_{number:02d}.png" for number in range(50)]
    assert dataset.eval_labels is None and dataset.class_names is None
    assert dataset.splits == () and dataset.unreadable == ()
    assert dataset.load_image(3).mode == "RGB"


def test_nested_folder_in_order_of_relative_path(tmp_path, save_image):
    expected = ["A/z.PNG", "a.jpg", "a/2/c.webp", "a/10.JPEG", "b.Bmp"]
    for name in expected:
        save_image(name)
    save_image(".hidden.png")
    save_image(".git/c.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert names(ImageFolder(tmp_path)) == sorted(expected)


def test_folders_are_labels_only_on_demand(tmp_path, save_image):
    for name in ("dog/1.png", "cat/x/2.png", "cat/1.png", "bird/1.png"):
        save_image(name)
    assert ImageFolder(tmp_path).eval_labels is None
    dataset = ImageFolder(tmp_path, labels="folder")
    assert dataset.class_names == ("bird", "cat", "dog")
    assert names(dataset) == ["bird/1.png", "cat/1.png", "cat/x/2.png", "dog/1.png"]
    np.testing.assert_array_equal(dataset.eval_labels, [0, 1, 1, 2])
    assert dataset.eval_labels.dtype == np.int64


def test_labels_need_every_image_in_a_folder(tmp_path, save_image):
    save_image("cat/1.png")
    save_image("2.png")
    with pytest.raises(ValueError, match=r"dataset\.labels='folder'.*1 of 2 are not.*2\.png"):
        ImageFolder(tmp_path, labels="folder")


def test_files_passed_over_are_counted(tmp_path, save_image, log_records):
    save_image("a.png")
    for name in ("a.heic", "b.HEIC", "README"):
        (tmp_path / name).touch()
    assert len(ImageFolder(tmp_path)) == 1
    (record,) = log_records
    message = record.getMessage()
    assert "3 files are passed over" in message
    assert ".heic: 2" in message and "no extension: 1" in message


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*dataset\.root \(or data_root\)"):
        ImageFolder(tmp_path / "nowhere")


def test_root_is_a_file(save_image):
    with pytest.raises(ValueError, match=r"is not a folder.*dataset\.root.*ImageList"):
        ImageFolder(save_image("a.png"))


def test_folder_without_images_says_what_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image in.*files there: none.*dataset\.root"):
        ImageFolder(tmp_path)
    (tmp_path / "video.heic").touch()
    with pytest.raises(FileNotFoundError, match=r"\.heic: 1"):
        ImageFolder(tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("labels", "folders", "'folder', got 'folders'"), ("unreadable", "ignore", "got 'ignore'")],
)
def test_option_values_are_checked(tmp_path, save_image, option, value, message):
    save_image("a.png")
    with pytest.raises(ValueError, match=rf"dataset\.{option} must be .*{message}"):
        ImageFolder(tmp_path, **{option: value})


def test_unreadable_files_fail_by_default(tmp_path, save_image, cut):
    save_image("a.jpg")
    for number in range(7):
        cut(save_image(f"b{number}.jpg", quality=90))
    with pytest.raises(ValueError, match=r"7 of 8 images.*b0\.jpg.*b4\.jpg.*\.\.\.") as error:
        ImageFolder(tmp_path)
    assert "b5.jpg" not in str(error.value)
    assert "dataset.unreadable='skip'" in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_files_are_left_out_and_reported(tmp_path, save_image, cut, log_records):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"):
        save_image(name, size=(64, 64))
    cut(tmp_path / "cat/2.jpg")
    (tmp_path / "dog/2.jpg").write_bytes(b"")
    dataset = ImageFolder(tmp_path, labels="folder", unreadable="skip")
    assert names(dataset) == ["cat/1.jpg", "dog/1.jpg"]
    assert dataset.unreadable == ("cat/2.jpg", "dog/2.jpg")
    np.testing.assert_array_equal(dataset.eval_labels, [0, 1])
    (record,) = log_records
    assert record.levelno == logging.WARNING
    assert "2 of 4 images" in record.getMessage() and "cat/2.jpg" in record.getMessage()
    for index in range(2):
        dataset.load_image(index)


def test_skipping_everything_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"1 of 1 images.*no image is left.*dataset\.root"):
        ImageFolder(tmp_path, unreadable="skip")


def test_links_are_followed_without_circles(tmp_path, save_image):
    save_image("outside/x.png")
    save_image("root/a/1.png")
    root = tmp_path / "root"
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / "a" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    assert names(ImageFolder(root)) == ["a/1.png", "linked/x.png"]


def test_broken_links_count_as_unreadable(tmp_path, save_image):
    save_image("a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    assert ImageFolder(tmp_path, unreadable="skip").unreadable == ("b.png", "c.png")


def test_a_pipe_named_like_an_image_does_not_block(tmp_path, save_image):
    save_image("a.png")
    os.mkfifo(tmp_path / "b.png")
    assert names(ImageFolder(tmp_path)) == ["a.png"]


def test_fingerprint_follows_the_images_not_the_root(tmp_path, save_image):
    for name in ("one/x/a.png", "one/x/b.png"):
        save_image(name)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one = ImageFolder(tmp_path / "one").fingerprint()
    assert len(one) == 64
    assert ImageFolder(tmp_path / "two").fingerprint() == one
    assert ImageFolder(tmp_path / "two", labels="folder").fingerprint() == one
    assert ImageFolder(tmp_path / "two" / "x").fingerprint() != one
    save_image("two/x/b.png", size=(40, 40))
    resized = ImageFolder(tmp_path / "two").fingerprint()
    assert resized != one
    save_image("two/x/c.png")
    assert ImageFolder(tmp_path / "two").fingerprint() not in (one, resized)


def test_names_that_are_not_ascii(tmp_path, save_image):
    save_image("katzen bilder/k\u00e4tzchen \u732b.png")
    dataset = ImageFolder(tmp_path)
    assert names(dataset) == ["katzen bilder/k\u00e4tzchen \u732b.png"]
    assert dataset.load_image(0).size == (20, 16)


def test_imagenette(real_data):
    dataset = ImageFolder(real_data / "imagenette224" / "train", labels="folder")
    assert len(dataset) == 1500
    np.testing.assert_array_equal(np.bincount(dataset.eval_labels), [150] * 10)
    flat = ImageFolder(real_data / "voc2012_animals" / "JPEGImages")
    assert len(flat) == 900
