"""Loaders that augment on the device: same draws, same bits however they are made (R2, R13)."""

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import DistSamplerSeedHook
from PIL import Image
from test_data_loader import assert_equal_batches, by_index
from torch.utils.data import DataLoader

from mmdeepcluster.datasets import (
    ClassSubset,
    Digits,
    ImageFolder,
    ImageView,
    build_train_loader,
)
from mmdeepcluster.datasets import device_loader as loaders
from mmdeepcluster.datasets.base import ArrayImageDataset
from mmdeepcluster.datasets.device_loader import DrawView, HeldLoader, WorkerLoader
from mmdeepcluster.datasets.transforms.batched import BatchPipeline, build_steps

TO_TENSOR = dict(type="PILToTensor")
COLOURS = [
    dict(type="RandomHorizontalFlip"),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type="RandomGrayscale", p=0.2),
    TO_TENSOR,
]
CROP = dict(type="RandomResizedCrop", size=8, scale=(0.2, 1.0))
AUGMENTATION = [dict(type="RGB"), CROP, *COLOURS]


@pytest.fixture(scope="module")
def colours():
    images = np.random.default_rng(0).integers(0, 256, (37, 9, 8, 3), dtype=np.uint8)
    return ArrayImageDataset(images, "train", labels=np.arange(37) % 3)


@pytest.fixture
def photos(tmp_path):
    """23 files of two sizes."""
    rng = np.random.default_rng(1)
    for number in range(23):
        size = (12, 16, 3) if number % 2 else (14, 11, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(
            tmp_path / f"{number:02d}.png"
        )
    return ImageFolder(tmp_path)


def loader(dataset, pipeline=AUGMENTATION, num_workers=0, batch_size=5, **options):
    view = ImageView(dataset, pipeline, name="train_pipeline")
    options = {"transforms": "device", "seed": 3, **options}
    return build_train_loader(view, batch_size=batch_size, num_workers=num_workers, **options)


def test_images_are_gathered_and_changed_by_their_draws(colours):
    held = loader(colours)
    assert isinstance(held, HeldLoader) and len(held) == 8
    batches = list(held)
    draws = [draw for batch in held.batch_sampler for draw in batch]
    pixels = torch.from_numpy(colours.image_array()).permute(0, 3, 1, 2)
    steps = build_steps(held.dataset.pipeline.transforms[:-1])
    for batch in batches:
        assert set(batch) == {"inputs", "sample_idx"} and batch["sample_idx"].dtype == torch.int64
        assert batch["inputs"].shape[1:] == (3, 8, 8) and batch["inputs"].dtype == torch.uint8
    seeds = np.array([draw.seed for draw in draws])
    index = torch.tensor([draw.index for draw in draws])
    assert torch.equal(torch.cat([batch["sample_idx"] for batch in batches]), index)
    expected = BatchPipeline(steps)(pixels[index], seeds)
    assert torch.equal(torch.cat([batch["inputs"] for batch in batches]), expected)


def test_the_same_draws_as_the_loader_of_single_images(colours):
    single = list(loader(colours, transforms="torchvision"))
    batched = list(loader(colours))
    for a, b in zip(single, batched, strict=True):
        assert torch.equal(a["sample_idx"], b["sample_idx"])
        assert a["inputs"].shape == b["inputs"].shape


@pytest.mark.parametrize("at_once", [1, 10**4, 10**9])
def test_batches_made_together_are_the_same(colours, monkeypatch, at_once):
    expected = list(loader(colours))
    monkeypatch.setattr(loaders, "_AT_ONCE", at_once)
    assert_equal_batches(list(loader(colours)), expected)


def test_samples_do_not_depend_on_batches_or_processes(colours):
    whole = by_index(loader(colours, batch_size=37))
    assert all(torch.equal(whole[i], x) for i, x in by_index(loader(colours)).items())
    owners = [by_index(loader(colours, rank=rank, world_size=3)) for rank in range(3)]
    assert sorted(index for part in owners for index in part) == list(range(37))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_of_several_sizes_are_decoded_by_workers(photos, num_workers, log_records):
    """Held or decoded, with any number of workers, an epoch may be entered anywhere."""
    before = multiprocessing.active_children()  # other tests of this process may have some
    alone = list(loader(photos, num_workers=0))
    found = loader(photos, num_workers=num_workers, prefetch_factor=None)
    assert isinstance(found, WorkerLoader)
    # Whoever looked whether images can be held has ended: left to the garbage collector, it would
    # close pipes of the workers that come.
    assert set(multiprocessing.active_children()) <= set(before)
    assert any("images have different shapes" in str(r.msg) for r in log_records)
    assert set(alone[0]) == {"inputs", "sample_idx"}
    found.batch_sampler.set_start(2)
    assert_equal_batches(list(found), alone[2:])
    assert_equal_batches(list(found), alone)
    found.batch_sampler.sampler.set_epoch(1)
    second = by_index(found)
    assert not any(torch.equal(second[i], x) for i, x in by_index(alone).items())
    del found


def test_workers_make_the_steps_up_to_the_first_that_fixes_the_size(photos):
    found = loader(photos)
    decoder = found.decoder.dataset
    assert [type(t).__name__ for t in decoder.pipeline.transforms] == [
        "RGB", "RandomResizedCrop", "PILToTensor",
    ]  # fmt: skip
    reference = {}
    for batch in found.decoder:
        rest = build_steps(found.dataset.pipeline.transforms[2:-1])
        changed = BatchPipeline(rest, first=2)(batch["inputs"].clone(), batch["draw_seed"].numpy())
        reference |= by_index([{**batch, "inputs": changed}])
    assert all(torch.equal(reference[i], x) for i, x in by_index(found).items())
    with pytest.raises(TypeError, match="drawn with a seed, got 3"):
        DrawView(photos, decoder.pipeline)[3]


def test_files_are_held_behind_steps_that_fix_the_size(photos):
    pipeline = [dict(type="RGB"), dict(type="Resize", size=(9, 9)), *COLOURS]
    found = loader(photos, pipeline)
    assert isinstance(found, HeldLoader) and found.images.shape == (23, 3, 9, 9)
    once = ImageView(photos, [*pipeline[:2], TO_TENSOR])
    assert all(torch.equal(found.images[i], once[i]["inputs"]) for i in range(23))
    assert "MiB of images held on cpu" in found.loading


def test_the_limit(colours, log_records):
    bytes_needed = 37 * 9 * 8 * 3
    assert isinstance(loader(colours, in_memory_limit=bytes_needed), HeldLoader)
    over = loader(colours, in_memory_limit=bytes_needed - 1)
    assert isinstance(over, WorkerLoader)
    assert "37 images of 3x9x8 take" in str(log_records[-1].msg)
    # larger behind the first steps than the limit: these are made in each batch
    pipeline = [dict(type="Resize", size=(30, 30)), *COLOURS]
    raw = loader(colours, pipeline, in_memory_limit=bytes_needed)
    assert isinstance(raw, HeldLoader) and raw.images.shape == (37, 3, 9, 8)
    once = loader(colours, pipeline)
    assert once.images.shape == (37, 3, 30, 30)
    assert_equal_batches(list(raw), list(once))


def test_an_array_is_shared_and_never_changed(colours):
    before = colours.image_array().copy()
    found = loader(colours)
    assert found.images.data_ptr() == torch.from_numpy(colours.image_array()).data_ptr()
    list(found)
    assert np.array_equal(colours.image_array(), before)


def test_grey_images_and_parts_of_data_sets(colours):
    pipeline = [dict(type="RGB"), dict(type="Resize", size=16), *COLOURS]
    digits = loader(Digits("test"), pipeline)
    assert digits.images.shape == (360, 3, 16, 16)
    view = ImageView(Digits("test"), [*pipeline[:2], TO_TENSOR])
    assert all(torch.equal(digits.images[i], view[i]["inputs"]) for i in range(0, 360, 7))
    part = ClassSubset(colours, num_classes=2, num_images=10)
    assert torch.equal(
        loader(part).images,
        torch.from_numpy(colours.image_array()[part.indices]).permute(0, 3, 1, 2),
    )


class Inverted(ArrayImageDataset):
    def load_image(self, index):
        return Image.eval(super().load_image(index), lambda level: 255 - level)


def test_a_data_set_that_makes_other_images_of_its_array(colours):
    inverted = loader(Inverted(colours.image_array(), "train"), [TO_TENSOR])
    assert torch.equal(inverted.images, 255 - loader(colours, [TO_TENSOR]).images)


def test_mmengine_and_clusters_reach_the_sampler(colours):
    found = loader(colours, sampler=dict(type="UniformClusterSampler"))
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=found), epoch=4)
    DistSamplerSeedHook().before_train_epoch(runner)
    assert found.batch_sampler.sampler.epoch == 4 and found.dataset.metainfo == {}
    found.batch_sampler.sampler.set_labels(torch.arange(37) // 36)
    drawn = torch.cat([batch["sample_idx"] for batch in found])
    assert len(drawn) == 37 and 15 <= int((drawn == 36).sum()) <= 20
    repeated = [batch["inputs"][batch["sample_idx"] == 36] for batch in found]
    assert len(torch.cat(repeated).flatten(1).unique(dim=0)) == sum(map(len, repeated))


def test_iterating_never_moves_the_global_generators(colours, photos):
    before, words = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for dataset in (colours, photos):
        list(loader(dataset))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], words)  # noqa: NPY002


def test_what_is_refused(colours):
    with pytest.raises(ValueError, match=r"transforms must be one of .*, got 'gpu'"):
        loader(colours, transforms="gpu")
    with pytest.raises(ValueError, match=r"in_memory_limit=5 is of .*transforms='device'"):
        loader(colours, transforms="torchvision", in_memory_limit=5)
    with pytest.raises(ValueError, match=r"cannot execute PILToTensor.*transforms='torchvision'"):
        loader(colours, [dict(type="RGB"), TO_TENSOR, TO_TENSOR])
    with pytest.raises(ValueError, match="cannot execute RandomPerspective"):
        loader(colours, [dict(type="RandomPerspective"), TO_TENSOR])
    with pytest.raises(ValueError, match=r"needs a train_pipeline that ends in .*PILToTensor"):
        loader(colours, [TO_TENSOR, dict(type="ToDtype", dtype="float32", scale=True)])
    assert isinstance(loader(colours, transforms="torchvision"), DataLoader)
