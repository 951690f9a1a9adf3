"""Samples of passes that are repeated are made once, and are the same (P10)."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.datasets import ImageFolder, ImageView, KeptView, build_eval_loader

SMALL = [dict(type="Resize", size=[8, 10]), dict(type="PILToTensor")]


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(11):
        pixels = rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_are_read_once(photos, num_workers):
    view = ImageView(ImageFolder(photos), SMALL, name="eval_pipeline")
    order = [4, 10, 2, 3, 9]
    options = {"batch_size": 2, "num_workers": num_workers, "indices": order}
    plain = list(build_eval_loader(view, **options))
    loader = build_eval_loader(view, keep=True, **options)
    assert isinstance(loader.dataset, KeptView)
    first = list(loader)
    for path in photos.glob("*.png"):
        path.unlink()
    for batches in (first, list(loader)):
        assert len(batches) == len(plain) == 3
        for batch, expected in zip(batches, plain, strict=True):
            assert torch.equal(batch["inputs"], expected["inputs"])
            assert torch.equal(batch["sample_idx"], expected["sample_idx"])
    with pytest.raises(OSError, match="cannot read"):
        loader.dataset.__getitems__([0])
    with pytest.raises(IndexError, match="sample 11 is outside"):
        loader.dataset.__getitems__([11])


def test_what_is_kept(photos):
    view = ImageView(ImageFolder(photos), SMALL)
    size = 11 * 3 * 8 * 10
    options = {"batch_size": 4, "num_workers": 0}

    def is_kept(view, **more):
        return isinstance(build_eval_loader(view, **options, **more).dataset, KeptView)

    assert is_kept(view, keep=True, in_memory_limit=size)
    assert not is_kept(view, keep=True, in_memory_limit=size - 1)
    assert not is_kept(view)
    flipped = [dict(type="RandomHorizontalFlip"), *SMALL]
    assert not is_kept(ImageView(ImageFolder(photos), flipped), keep=True)
    floats = [*SMALL, dict(type="ToDtype", dtype="float32", scale=True)]
    assert is_kept(ImageView(ImageFolder(photos), floats), keep=True, in_memory_limit=4 * size)
    assert not is_kept(
        ImageView(ImageFolder(photos), floats), keep=True, in_memory_limit=4 * size - 1
    )
