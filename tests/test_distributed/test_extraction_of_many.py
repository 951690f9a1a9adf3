"""Features written by two processes, and after a kill, are the file of one (R2, R72)."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from index_images import CONFIG, decode, write_images
from mmengine.dist import get_rank, get_world_size
from processes import run_processes

from mmdeepcluster.apis import extract_features
from mmdeepcluster.datasets.image_files import ImageFileDataset

N = 2100  # tiles of 1024, 1024 and 52 rows; batches of 40 lie across their borders
LAYERS = ("pixels", "filtered.flat")
FILES = ("features_pixels.npy", "features_filtered.flat.npy", "samples.csv")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed")
    write_images(folder / "images", N)
    path = folder / "config.py"
    path.write_text(CONFIG.format(root=str(folder / "images")))
    return path


@pytest.fixture(scope="module")
def alone(config):
    """What one process writes that nobody interrupts."""
    out = config.parent / "alone"
    extract(config, out)
    return out


def extract(config, out, die_at=None):
    """Extracts; the process that reads image ``die_at`` is killed. Returns the images read."""
    read, load = [], ImageFileDataset.load_image

    def load_image(self, index):
        if index == die_at:
            time.sleep(1)  # the batch before it is worked on, and written, meanwhile
            os.kill(os.getpid(), signal.SIGKILL)
        read.append(index)
        return load(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFileDataset, "load_image", load_image)
        found = extract_features(config, out=out, layers=LAYERS, unreadable="trust")
    assert found["num_images"] == N
    return {"rank": get_rank(), "size": get_world_size(), "read": read[1:]}  # one is tried first


def same(first, second):
    return [name for name in FILES if (first / name).read_bytes() != (second / name).read_bytes()]


def test_rows_are_in_order(alone):
    features = np.load(alone / "features_pixels.npy", mmap_mode="r")
    assert features.shape == (N, 3) and features.dtype == np.float32
    assert np.array_equal(decode(features), np.arange(N))
    lines = (alone / "samples.csv").read_text().splitlines()
    assert lines[0] == "index,path,label,cluster,distance,margin"
    assert lines[2051] == "2050,02050.png,,,,"
    names = {path.name for path in alone.iterdir()}
    assert names == {*FILES, "extraction.json"}


def test_two_processes_write_the_file_of_one(config, alone, tmp_path):
    found = run_processes(extract, 2, config, tmp_path / "two")
    assert [(said["rank"], said["size"]) for said in found] == [(0, 2), (1, 2)]
    # whole batches of one process; the one on the border is read by both
    assert found[0]["read"] == list(range(1040))
    assert found[1]["read"] == list(range(1000, N))
    assert same(tmp_path / "two", alone) == []


@pytest.mark.parametrize("order", ["two, then one", "one, then two"])
def test_killed_and_continued(config, alone, tmp_path, order):
    # a process has put its first full tile on the disk by then
    out, die_at = tmp_path / "out", 2090
    kept = range(1080, 2040) if order == "two, then one" else range(40, 1000)
    if order == "two, then one":
        with pytest.raises(Exception, match="SIGKILL"):
            run_processes(extract, 2, config, out, die_at)
        assert not (out / "features_pixels.npy").exists()
        said = [extract(config, out)]
    else:
        process = multiprocessing.get_context("forkserver").Process(
            target=extract, args=(config, out, die_at)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (out / "features_pixels.npy").exists()
        said = run_processes(extract, 2, config, out)
    read = [index for found in said for index in found["read"]]
    assert not set(read) & set(kept)  # what was done is not done again
    assert set(range(2080, N)) <= set(read)
    assert same(out, alone) == []
