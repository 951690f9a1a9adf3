"""The cache of smaller copies: complete or refused, stale copies never used, shared (R2, R3)."""

import os
import shutil
import time
from collections import namedtuple
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdeepcluster.datasets import ImageFolder, ImageList, load_rgb, resized_cache
from mmdeepcluster.datasets.cache_block import is_complete, read_image, write_block


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Seven files of different kinds and sizes; three make a block."""
    monkeypatch.setattr(resized_cache, "_BLOCK", 3)
    folder = tmp_path / "photos"
    folder.mkdir()
    y, x = np.mgrid[:60, :90]
    for number in range(7):
        pixels = np.stack([2 * x, 3 * y, np.full_like(x, 30 * number)], axis=-1).astype(np.uint8)
        name = f"{number}.png" if number == 1 else f"{number}.jpg"
        Image.fromarray(pixels).resize((90 + number, 60)).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "2.jpg", exif=exif)
    Image.fromarray(pixels).resize((20, 16)).save(folder / "3.jpg")
    return folder


def options(folder, **others):
    return dict(dir=folder.parent / "cache", shorter_side=30, quality=90) | others


def blocks_of(folder):
    return {file.name: file.stat().st_mtime_ns for file in (folder.parent / "cache").iterdir()}


def test_copies_have_the_size_and_nearly_the_pixels(photos):
    whole, cached = ImageFolder(photos), ImageFolder(photos, cache=options(photos))
    assert len(blocks_of(photos)) == 3
    for index in range(7):
        image, copy = whole.load_image(index), cached.load_image(index)
        short = min(30, *image.size)
        assert min(copy.size) == short and copy.mode == "RGB"
        assert abs(copy.size[0] / copy.size[1] - image.size[0] / image.size[1]) < 0.04
        wanted = np.asarray(image.resize(copy.size, Image.Resampling.BILINEAR), float)
        assert np.abs(np.asarray(copy, float) - wanted).mean() < 2
        read = load_rgb(BytesIO(cached.read_file(index)))
        np.testing.assert_array_equal(np.asarray(read), np.asarray(copy))
    assert cached.load_image(2).size == (30, 45), "upright"
    assert cached.read_file(3) == (photos / "3.jpg").read_bytes(), "not larger: as it is"
    assert cached.fingerprint() == whole.fingerprint(), "the same images"
    assert cached.file_path(0) == str(photos / "0.jpg")
    with pytest.raises(IndexError):
        cached.load_image(7)


def test_what_is_there_is_not_written_again(photos, monkeypatch):
    ImageFolder(photos, cache=options(photos))
    before = blocks_of(photos)
    monkeypatch.setattr(resized_cache, "write_block", None)
    again = ImageFolder(photos, cache=options(photos))
    assert blocks_of(photos) == before and again.load_image(0).size == (45, 30)


def test_a_file_that_changes_is_copied_again_and_no_other(photos):
    ImageFolder(photos, cache=options(photos))
    before = blocks_of(photos)
    Image.new("RGB", (90, 60), (255, 0, 0)).save(photos / "4.jpg")
    os.utime(photos / "4.jpg", ns=(0, time.time_ns() + 10**9))
    cached = ImageFolder(photos, cache=options(photos))
    after = blocks_of(photos)
    assert len(after) == 4 and before.items() < after.items()
    assert np.asarray(cached.load_image(4))[..., 0].min() > 240


@pytest.mark.parametrize("change", [dict(shorter_side=20), dict(quality=50)])
def test_other_settings_have_other_copies(photos, change):
    first = ImageFolder(photos, cache=options(photos))
    other = ImageFolder(photos, cache=options(photos, **change))
    assert len(blocks_of(photos)) == 6 and first.read_file(0) != other.read_file(0)
    assert min(first.load_image(0).size) == 30


def test_an_interrupted_build_goes_on(photos, monkeypatch):
    def interrupted(path, images):
        if len(blocks_of(photos)) == 2:
            raise KeyboardInterrupt
        write_block(path, images)

    monkeypatch.setattr(resized_cache, "write_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ImageFolder(photos, num_threads=1, cache=options(photos))
    before = blocks_of(photos)
    assert len(before) == 2
    monkeypatch.undo()
    monkeypatch.setattr(resized_cache, "_BLOCK", 3)
    cut = photos.parent / "cache" / sorted(before)[0]
    cut.write_bytes(cut.read_bytes()[:-1])  # a copy of the folder that was cut off
    old = photos.parent / "cache" / ".killed.1-2.tmp"
    for name, age in ((old, 7200), (old.with_name(".working.1-2.tmp"), 0)):
        name.touch()
        os.utime(name, (0, time.time() - age))
    cached = ImageFolder(photos, cache=options(photos))
    after = blocks_of(photos)
    assert len(after) == 4 and ".working.1-2.tmp" in after, "3 blocks, another's temporary file"
    untouched = sorted(before)[1]
    assert after[untouched] == before[untouched]
    assert [min(cached.load_image(i).size) for i in range(7)] == [30, 30, 30, 16, 30, 30, 30]


def test_too_little_room_is_refused_before_anything_is_written(photos, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(OSError, match=r"about 0\.0 MB, .* has 0\.0 MB left: choose another"):
        ImageFolder(photos, cache=options(photos))
    assert not blocks_of(photos)


def test_a_folder_may_become_read_only(photos, monkeypatch):
    ImageFolder(photos, cache=options(photos))
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    assert ImageFolder(photos, cache=options(photos)).load_image(0).size == (45, 30)
    with pytest.raises(OSError, match="lacks 3 of 3 blocks, and this user may not write there"):
        ImageFolder(photos, cache=options(photos, quality=70))


def test_a_place_that_cannot_be_a_folder(photos):
    with pytest.raises(OSError, match=r"dataset\.cache\.dir: 3 blocks are missing and .*0\.jpg"):
        ImageFolder(photos, cache=options(photos, dir=photos / "0.jpg"))


def test_files_that_are_left_out_have_no_copy(photos, cut):
    cut(photos / "0.jpg")
    cut(photos / "5.jpg")
    cached = ImageFolder(photos, unreadable="skip", cache=options(photos))
    whole = ImageFolder(photos, unreadable="skip")
    assert len(cached) == 5 and cached.sample_name(4) == "6.jpg"
    for index in (0, 4):
        image, copy = whole.load_image(index), cached.load_image(index)
        assert np.abs(np.asarray(image.resize(copy.size), float) - np.asarray(copy)).mean() < 3


def test_a_file_that_nobody_checked_is_named(photos, cut):
    cut(photos / "5.jpg")
    with pytest.raises(OSError, match=r"5\.jpg' cannot be read \(OSError: .*'skip'"):
        ImageFolder(photos, unreadable="trust", cache=options(photos))


def test_a_list_of_images(photos):
    (photos / "list.txt").write_text("6.jpg\n0.jpg\n6.jpg\n")
    cached = ImageList(photos / "list.txt", cache=options(photos))
    assert [cached.load_image(i).size for i in range(3)] == [(48, 30), (45, 30), (48, 30)]


def test_a_damaged_block_is_an_error(photos):
    cached = ImageFolder(photos, cache=options(photos))
    for name in blocks_of(photos):
        Path(photos.parent / "cache" / name).write_bytes(b"MMDCIMG1")
    with pytest.raises(OSError, match="is damaged: delete it and start again"):
        cached.load_image(1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(shorter_side=0), ValueError, "shorter_side must be a positive integer, got 0"),
        (dict(shorter_side=9.5), ValueError, "got 9.5"),
        (dict(quality=96), ValueError, "quality must be from 1 to 95, got 96"),
        (dict(size=3), TypeError, "no option 'size': give dir, shorter_side and quality"),
    ],
)
def test_bad_options(photos, change, error, message):
    with pytest.raises(error, match=message):
        ImageFolder(photos, cache=options(photos, **change))
    with pytest.raises(TypeError, match="needs 'dir'"):
        ImageFolder(photos, cache=dict(quality=80))


def test_blocks(tmp_path):
    path = tmp_path / "block"
    assert not is_complete(path, 3)
    write_block(path, [b"first", b"", b"third"])
    assert is_complete(path, 3) and not is_complete(path, 2)
    assert read_image(path, 0) == b"first" and read_image(path, 2) == b"third"
    with pytest.raises(OSError, match="damaged"):
        read_image(path, 1)
    assert list(tmp_path.iterdir()) == [path]
