"""List files: any collection of images, with unreadable ones skipped and counted (R60)."""

import hashlib
import re
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmdeepcluster.datasets import ImageFolder, ImageList, ImageView, image_files
from mmdeepcluster.datasets.chain_digest import Chain
from mmdeepcluster.registry import DATASETS


def write(folder, text, name="list.txt"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def names(dataset) -> list[str]:
    return [dataset.sample_name(index) for index in range(len(dataset))]


def test_paths_relative_to_the_list_file_in_its_order(tmp_path, save_image):
    for name in ("b.png", "a b/c 1.png"):
        save_image(name)
    path = write(tmp_path, "# my images\r\nb.png\r\n\r\na b/c 1.png\r\nb.png\r\n")
    dataset = DATASETS.build(dict(type="mmdeepcluster.ImageList", list_file=str(path)))
    assert names(dataset) == ["b.png", "a b/c 1.png", "b.png"]
    assert dataset.eval_labels is None


def test_byte_order_mark_and_own_root(tmp_path, save_image):
    save_image("images/a.png")
    (tmp_path / "lists").mkdir()
    path = write(tmp_path / "lists", "\ufeffa.png")
    assert names(ImageList(path, root=tmp_path / "images")) == ["a.png"]


def test_labels_are_the_last_token_of_every_line(tmp_path, save_image):
    for name in ("a 1.png", "b.png"):
        save_image(name)
    path = write(tmp_path, "a 1.png 7\nb.png\t0\na 1.png   12\n")
    dataset = ImageList(path, labels=True)
    assert names(dataset) == ["a 1.png", "b.png", "a 1.png"]
    np.testing.assert_array_equal(dataset.eval_labels, [7, 0, 12])
    assert dataset.eval_labels.dtype == np.int64


@pytest.mark.parametrize("line", ["b.png", "b.png -1", "b.png 1.5", "3"])
def test_line_without_label(tmp_path, save_image, line):
    save_image("a.png")
    path = write(tmp_path, f"# header\na.png 0\n{line}\n")
    with pytest.raises(ValueError, match=r"line 3: .* does not end in a label.*dataset\.labels"):
        ImageList(path, labels=True)


def test_a_name_that_ends_in_a_number_is_no_label(tmp_path, save_image):
    source = save_image("a.png")
    shutil.copy(source, tmp_path / "scan 12")
    assert names(ImageList(write(tmp_path, "scan 12\n"))) == ["scan 12"]


def test_missing_images_are_counted_and_named(tmp_path, save_image):
    save_image("here.png")
    lines = [f"gone{number}.png" for number in range(7)]
    path = write(tmp_path, "\n".join(["here.png", *lines]))
    with pytest.raises(
        FileNotFoundError, match=r"7 of 8 images.*gone0\.png.*gone4\.png, \.\.\."
    ) as e:
        ImageList(path)
    assert "dataset.root" in str(e.value) and "dataset.unreadable='skip'" in str(e.value)
    assert "gone5.png" not in str(e.value)
    dataset = ImageList(path, unreadable="skip")
    assert names(dataset) == ["here.png"]
    assert dataset.unreadable == tuple(lines)


def test_forgotten_labels_option_is_suggested(tmp_path, save_image):
    save_image("a.png")
    with pytest.raises(FileNotFoundError, match=r"set dataset\.labels=True"):
        ImageList(write(tmp_path, "a.png 3\n"))


def test_damaged_images_under_both_policies(tmp_path, save_image, cut):
    save_image("a.jpg")
    cut(save_image("b.jpg", size=(64, 64)))
    path = write(tmp_path, "b.jpg 1\na.jpg 4\n")
    with pytest.raises(ValueError, match=r"1 of 2 images.*b\.jpg.*dataset\.unreadable='skip'"):
        ImageList(path, labels=True)
    dataset = ImageList(path, labels=True, unreadable="skip")
    assert names(dataset) == ["a.jpg"] and dataset.unreadable == ("b.jpg",)
    np.testing.assert_array_equal(dataset.eval_labels, [4])


def test_trust_opens_no_file_before_it_is_used(tmp_path, save_image, cut, monkeypatch):
    """R60: 96 million images cannot be decoded before each run."""
    save_image("a.jpg")
    cut(save_image("b.jpg", size=(64, 64)))
    path = write(tmp_path, "a.jpg\nb.jpg\nb.jpg\ngone.jpg\n")
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "find_defect", None)
        patch.setattr("os.path.exists", None)
        dataset = ImageList(path, unreadable="trust")
    assert len(dataset) == 4 and dataset.unreadable == ()
    dataset.load_image(0)
    for index, reason in ((1, "truncated"), (3, "FileNotFoundError")):
        file = re.escape(str(tmp_path / ("gone.jpg" if index == 3 else "b.jpg")))
        with pytest.raises(OSError, match=rf"{file}.*{reason}.*dataset\.unreadable='trust'.*skip"):
            dataset.load_image(index)
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg' does not exist.*'skip'"):
        dataset.fingerprint()


def test_the_policy_does_not_change_the_fingerprint(tmp_path, save_image):
    for name in ("a.png", "b.png"):
        save_image(name)
    path = write(tmp_path, "a.png\nb.png\n")
    sizes = {name: (tmp_path / name).stat().st_size for name in ("a.png", "b.png")}
    chain = Chain.of(f"{name}\0{size}\0".encode() for name, size in sizes.items())
    expected = hashlib.sha256(chain.to_bytes()).hexdigest()
    for policy in ("fail", "skip", "trust"):
        assert ImageList(path, unreadable=policy).fingerprint() == expected
        assert ImageFolder(tmp_path, unreadable=policy).fingerprint() == expected
    write(tmp_path, "a.png\ngone.png\nb.png\n")
    assert ImageList(path, unreadable="skip").fingerprint() == expected


def test_an_unknown_policy_is_refused_before_the_list_is_read(tmp_path):
    path = write(tmp_path, "a.png\n")
    with pytest.raises(ValueError, match=r"must be 'fail', 'skip' or 'trust', got 'ignore'"):
        ImageList(path, unreadable="ignore")
    assert list(tmp_path.iterdir()) == [path]


def test_spawned_workers_read_the_list(tmp_path, save_image):
    for name in ("a.png", "b.png"):
        save_image(name)
    view = ImageView(ImageList(write(tmp_path, "a.png\nb.png\n")), [dict(type="PILToTensor")])
    options = dict(batch_size=1, multiprocessing_context="spawn", num_workers=1)
    parallel = [batch["inputs"][0] for batch in DataLoader(view, **options)]
    assert all(torch.equal(image, view[i]["inputs"]) for i, image in enumerate(parallel))
    assert len(parallel) == 2


def test_wrong_root_leaves_nothing(tmp_path):
    path = write(tmp_path, "a.png\nb.png\n")
    with pytest.raises(FileNotFoundError, match=r"2 of 2 images.*no image is left.*dataset\.root"):
        ImageList(path, unreadable="skip")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no image")
    with pytest.raises(ValueError, match=r"2 of 2 images.*no image is left.*dataset\.root"):
        ImageList(path, unreadable="skip")


def test_missing_list_root_and_empty_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no list file.*dataset\.list_file"):
        ImageList(tmp_path / "list.txt")
    path = write(tmp_path, "# nothing\n\n")
    with pytest.raises(ValueError, match=r"names no image.*dataset\.list_file"):
        ImageList(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere.*dataset\.root"):
        ImageList(path, root=tmp_path / "nowhere")


def test_absolute_paths_below_the_root_count_as_relative(tmp_path, save_image):
    inside, outside = save_image("root/a.png"), save_image("other/b.png")
    root = tmp_path / "root"
    absolute = ImageList(write(tmp_path, f"{inside}\n"), root=root)
    relative = ImageList(write(tmp_path, "a.png\n", "second.txt"), root=root)
    assert names(absolute) == ["a.png"]
    assert absolute.fingerprint() == relative.fingerprint()
    assert names(ImageList(write(tmp_path, f"{outside}\n"), root=root)) == [str(outside)]


def test_fingerprint_knows_the_order(tmp_path, save_image):
    save_image("a.png")
    save_image("b.png")
    first = ImageList(write(tmp_path, "a.png\nb.png\n")).fingerprint()
    assert ImageList(write(tmp_path, "a.png\n\nb.png\n")).fingerprint() == first
    assert ImageList(write(tmp_path, "b.png\na.png\n")).fingerprint() != first
