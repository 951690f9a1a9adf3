"""Loaders: the same batches for any number of workers, every sample once (R2)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import DistSamplerSeedHook

from mmdeepcluster.datasets import ImageFolder, ImageView, build_eval_loader, build_train_loader
from mmdeepcluster.datasets.base import ArrayImageDataset

TO_TENSOR = dict(type="PILToTensor")
AUGMENTATION = [
    dict(type="RandomResizedCrop", size=8, scale=(0.2, 1.0)),
    dict(type="RandomHorizontalFlip"),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type="RandomGrayscale", p=0.2),
    TO_TENSOR,
]


@pytest.fixture(scope="module")
def colours():
    """37 images; the first two pixels of image i are (i, i, i)."""
    images = np.random.default_rng(0).integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
    images[:, 0, :2] = np.arange(37)[:, None, None]
    return ArrayImageDataset(images, "train")


def epochs(view, num_epochs=2, start=0, **options):
    loader = build_train_loader(view, batch_size=5, seed=3, **options)
    collected = []
    for epoch in range(start, num_epochs):
        loader.batch_sampler.sampler.set_epoch(epoch)
        collected.append(list(loader))
    return collected


def assert_equal_batches(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert torch.equal(a["sample_idx"], b["sample_idx"])
        assert torch.equal(a["inputs"], b["inputs"])


def by_index(batches):
    return {
        index: inputs
        for batch in batches
        for index, inputs in zip(batch["sample_idx"].tolist(), batch["inputs"], strict=True)
    }


def test_batches_are_the_same_with_any_number_of_workers(colours):
    view = ImageView(colours, AUGMENTATION, name="train_pipeline")
    alone = epochs(view, num_workers=0)
    for persistent in (True, False):
        torch.manual_seed(persistent)
        parallel = epochs(view, num_workers=2, persistent_workers=persistent, prefetch_factor=1)
        for left, right in zip(alone, parallel, strict=True):
            assert_equal_batches(left, right)
    assert_equal_batches(epochs(view, start=1, num_workers=0)[0], alone[1])
    first, second = (by_index(batches) for batches in alone)
    assert set(first) == set(second) == set(range(37))
    assert sum(torch.equal(first[i], second[i]) for i in range(37)) == 0


def test_a_batch_is_stacked_with_int64_indices(colours):
    batch = next(
        iter(
            build_train_loader(
                ImageView(colours, AUGMENTATION), batch_size=5, num_workers=0, seed=0
            )
        )
    )
    assert set(batch) == {"inputs", "sample_idx"}
    assert batch["inputs"].shape == (5, 3, 8, 8) and batch["inputs"].dtype == torch.uint8
    assert batch["sample_idx"].dtype == torch.int64


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterating_never_moves_the_global_generator(colours, num_workers):
    view = ImageView(colours, AUGMENTATION)
    evaluation = ImageView(colours, [TO_TENSOR])
    before = torch.get_rng_state()
    train = build_train_loader(view, batch_size=8, num_workers=num_workers, seed=0)
    for loader in (train, build_eval_loader(evaluation, batch_size=8, num_workers=num_workers)):
        for _ in range(2):
            list(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_share_the_samples(colours):
    view = ImageView(colours, AUGMENTATION)
    seen = []
    for rank in range(3):
        (batches,) = epochs(view, num_epochs=1, num_workers=0, rank=rank, world_size=3)
        assert [len(batch["sample_idx"]) for batch in batches] == [5, 4, 4]
        seen.append(set(torch.cat([batch["sample_idx"] for batch in batches]).tolist()))
    assert set.union(*seen) == set(range(37))
    assert sum(len(part) for part in seen) == 37


def test_mmengine_hook_reaches_set_epoch(colours):
    loader = build_train_loader(
        ImageView(colours, AUGMENTATION), batch_size=5, num_workers=0, seed=0
    )
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader), epoch=4)
    DistSamplerSeedHook().before_train_epoch(runner)
    assert loader.batch_sampler.sampler.epoch == 4


@pytest.mark.parametrize("num_workers", [0, 2])
def test_start_inside_an_epoch(colours, num_workers):
    view = ImageView(colours, AUGMENTATION)
    (whole,) = epochs(view, num_epochs=1, num_workers=0)
    loader = build_train_loader(view, batch_size=5, num_workers=num_workers, seed=3)
    loader.batch_sampler.set_start(6)
    assert_equal_batches(list(loader), whole[6:])
    assert_equal_batches(list(loader), whole)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_visits_every_sample_once_in_order(colours, num_workers):
    """R2: an image holds its own index, so the order of the pixels is checked, not of names."""
    view = ImageView(colours, [TO_TENSOR], name="eval_pipeline")
    loader = build_eval_loader(view, batch_size=8, num_workers=num_workers, prefetch_factor=None)
    for _ in range(2):
        batches = list(loader)
        assert [len(batch["inputs"]) for batch in batches] == [8, 8, 8, 8, 5]
        pixels = torch.cat([batch["inputs"][:, 0, 0, 0] for batch in batches])
        assert pixels.tolist() == list(range(37))
        assert torch.cat([batch["sample_idx"] for batch in batches]).tolist() == list(range(37))


def test_evaluation_of_a_subset(colours):
    view = ImageView(colours, [TO_TENSOR])
    for indices in ([30, 2, 2, 9], np.array([30, 2, 2, 9]), torch.tensor([30, 2, 2, 9])):
        loader = build_eval_loader(view, batch_size=3, num_workers=0, indices=indices)
        assert len(loader) == 2
        drawn = torch.cat([batch["sample_idx"] for batch in loader])
        assert drawn.tolist() == [30, 2, 2, 9]
    assert list(build_eval_loader(view, batch_size=3, num_workers=0, indices=[])) == []


@pytest.mark.parametrize("indices", [[0, 37], [-1, 3]])
def test_subset_outside_the_data_set(colours, indices):
    view = ImageView(colours, [TO_TENSOR])
    with pytest.raises(ValueError, match="outside the 37 samples"):
        build_eval_loader(view, batch_size=3, num_workers=0, indices=indices)


def test_bad_batch_sizes(colours):
    view = ImageView(colours, [TO_TENSOR])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        build_train_loader(view, batch_size=0, num_workers=0, seed=0)
    with pytest.raises(ValueError, match="batch_size"):
        build_eval_loader(view, batch_size=0, num_workers=0)


def test_worker_options_do_not_matter_without_workers(colours):
    view = ImageView(colours, [TO_TENSOR])
    options = dict(num_workers=0, prefetch_factor=4, persistent_workers=True, pin_memory=False)
    assert len(list(build_train_loader(view, batch_size=37, seed=0, **options))) == 1
    assert len(list(build_eval_loader(view, batch_size=37, **options))) == 1


class ThreadCount(ArrayImageDataset):
    """Images whose pixels are the number of threads of the process that loads them."""

    def load_image(self, index):
        self._images[index] = torch.get_num_threads()
        return super().load_image(index)


def test_workers_use_one_thread():
    view = ImageView(ThreadCount(np.zeros((4, 2, 2), np.uint8), "train"), [TO_TENSOR])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for num_workers, threads in ((0, 2), (2, 1)):
            for batch in build_eval_loader(view, batch_size=2, num_workers=num_workers):
                assert batch["inputs"].unique().tolist() == [threads]
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_worker_names_the_sample(tmp_path, save_image):
    save_image("a.png")
    gone = save_image("b.png")
    view = ImageView(ImageFolder(tmp_path), [TO_TENSOR])
    gone.unlink()
    loader = build_eval_loader(view, batch_size=2, num_workers=1, persistent_workers=False)
    batches, message = iter(loader), ""
    try:
        next(batches)
    except OSError as error:
        message = str(error)
        # A traceback keeps torch's iterator in a cycle, and collecting that waits 5 s for a worker.
        error.__traceback__ = None
    assert "cannot read 'b.png' (sample 1 of ImageFolder(2 images))" in message
