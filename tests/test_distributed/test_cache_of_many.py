"""Processes share the work of a cache of smaller copies, and learn of the same error."""

import os
import time

import numpy as np
import torch.distributed as dist
from PIL import Image
from processes import run_processes

from mmdeepcluster.datasets import ImageFolder, resized_cache


def open_twice(folder, cache):
    """Copies and number of blocks written, then what is wrong once a file is broken."""
    resized_cache._BLOCK = 4
    written = []
    original = resized_cache.write_block

    def write(path, images):
        written.append(path.name)
        original(path, images)

    resized_cache.write_block = write
    options = dict(unreadable="trust", cache=dict(dir=cache, shorter_side=8))
    data = ImageFolder(folder, **options)
    copies, number = [data.read_file(index) for index in range(len(data))], len(written)
    dist.barrier()
    if dist.get_rank() == 0:
        (folder / "07.jpg").write_bytes(b"no image")
        os.utime(folder / "07.jpg", (0, time.time() + 9))
    dist.barrier()
    try:
        ImageFolder(folder, **options)
    except OSError as error:
        return copies, number, str(error), len(written)
    raise AssertionError("a broken file was copied")


def test_each_block_is_written_by_one_process(tmp_path):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(18):
        pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.jpg")
    (copies, first, problem, first_after), other = run_processes(open_twice, 2, folder, cache)
    assert (copies, problem) == (other[0], other[2]) and len(copies) == 18
    assert {first, other[1]} == {2, 3} and len(list(cache.iterdir())) == 5
    assert "07.jpg' cannot be read" in problem
    assert first_after + other[3] == 5, "nothing was written after the error"
