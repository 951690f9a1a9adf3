"""What is drawn is what training gets, bit for bit, with each executor."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from mmdeepcluster.apis import browse_dataset
from mmdeepcluster.datasets.pipeline_trace import final_image, to_pixels, trace
from mmdeepcluster.engine import ConfigError, resolve_config, train_loader

DIGITS = "configs/odc/odc_lenet5_digits.py"
PHOTOS = "configs/deepercluster/deepercluster_convnet_photos.py"
NO_WORKERS = {"train_dataloader.num_workers": 0, "train_dataloader.prefetch_factor": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs of two sizes."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        size = (90, 130, 3) if number % 2 else (120, 100, 3)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size[1::-1], Image.Resampling.BICUBIC)
        image.save(root / f"{number:02d}.jpg")
    return root


CASES = {
    "torchvision": {"train_dataloader.transforms": "torchvision"},
    "opencv": {"train_dataloader.transforms": "opencv"},
    "device, decoded by workers": {"train_dataloader.transforms": "device"},
    "device, held": {
        "train_dataloader.transforms": "device",
        "train_pipeline": [
            dict(type="RGB"),
            dict(type="CenterCrop", size=80),
            dict(type="RandomResizedCrop", size=32),
            dict(type="RandomHorizontalFlip"),
            dict(type="ColorJitter", brightness=0.5, hue=0.2),
            dict(type="PILToTensor"),
        ],
    },
    "device, an array": None,
}


@pytest.mark.parametrize("case", CASES)
def test_the_last_step_is_what_the_loader_hands_out(case, folder):
    options = CASES[case]
    config = PHOTOS
    if options is None:
        config, options = DIGITS, {"train_dataloader.transforms": "device"}
    else:
        options = options | {"data_root": str(folder), "train_dataloader.sampler": None}
    resolved = resolve_config(config, options | NO_WORKERS)
    loader = train_loader(resolved)
    loader.batch_sampler.sampler.set_epoch(3)
    draws = list(loader.batch_sampler.sampler)[:6]
    handed = {}
    for batch in loader:
        handed |= dict(zip(batch["sample_idx"].tolist(), batch["inputs"], strict=True))
    pipeline = resolved.cfg.train_pipeline
    moved = 0
    for draw in draws:
        steps = trace(loader, pipeline, draw)
        assert [step.name for step in steps] == [step["type"] for step in pipeline]
        assert torch.equal(steps[-1].image, handed[draw.index])
        assert torch.equal(steps[-2].image, handed[draw.index])
        assert torch.equal(final_image(loader, draw), handed[draw.index])
        raw = np.asarray(resolved.dataset.load_image(draw.index))
        assert np.array_equal(to_pixels(steps[0].image), raw)
        moved += not torch.equal(steps[-2].image, steps[-3].image)
    assert moved  # the last random step does something


def test_sheets_and_table(folder, tmp_path):
    options = {"data_root": str(folder), **NO_WORKERS}
    found = browse_dataset(PHOTOS, tmp_path, number=5, mode="pipeline", epoch=2, options=options)
    assert [file.name for file in found.files] == ["train_pipeline.png", "samples.csv"]
    (note,) = found.notes
    assert "UniformClusterSampler draws by cluster: give --labels" in note
    # the original and five steps that change pixels
    assert Image.open(found.files[0]).size == (8 + 6 * 152, 31 + 5 * 182)
    resolved = resolve_config(PHOTOS, options)
    sampler = train_loader(resolved).batch_sampler.sampler
    sampler.set_epoch(1)
    draws = list(sampler)[:5]
    with found.files[1].open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["index"]), int(row["draw_seed"])) for row in rows] == draws
    assert [row["name"] for row in rows] == [f"{draw.index:02d}.jpg" for draw in draws]
    # by the labels of a training: about half of the draws are of the cluster of one image
    labels = np.zeros(12, np.int64)
    labels[7] = 1
    np.save(tmp_path / "labels_epoch_2.npy", labels)
    found = browse_dataset(
        PHOTOS, tmp_path, number=12, labels=tmp_path / "labels_epoch_2.npy", options=options
    )
    with found.files[-1].open() as file:
        indices = [int(row["index"]) for row in csv.DictReader(file)]
    sampler.set_labels(torch.from_numpy(labels))
    sampler.set_epoch(0)
    assert indices == [draw.index for draw in sampler] and not found.notes
    assert 4 <= indices.count(7) <= 8


def test_evaluation_and_many_samples(tmp_path):
    found = browse_dataset(DIGITS, tmp_path, number=50, mode="concat", phase="eval")
    assert [file.name for file in found.files] == [
        "eval_concat_1.png", "eval_concat_2.png", "eval_concat_3.png", "samples.csv",
    ]  # fmt: skip
    # 24, 24 and 2 samples, two images each, four samples a row
    sizes = [Image.open(file).size for file in found.files[:3]]
    assert sizes == [(8 + 8 * 152, 31 + 6 * 182)] * 2 + [(8 + 4 * 152, 31 + 182)]
    rows = found.files[-1].read_text().splitlines()
    assert rows[0] == "number,index,name,draw_seed" and rows[50] == "49,49,train/49,"


def test_options_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match="--mode must be one of original, transformed, concat"):
        browse_dataset(DIGITS, tmp_path, mode="all")
    with pytest.raises(ConfigError, match="--number must be at least 1, got 0"):
        browse_dataset(DIGITS, tmp_path, number=0)
    with pytest.raises(ConfigError, match=r"OwnerSampler draws without labels"):
        browse_dataset(DIGITS, tmp_path, labels="a.npy")
    with pytest.raises(ValueError, match="2 channels cannot be shown"):
        to_pixels(torch.zeros(2, 4, 4))


def test_floats_are_stretched_to_be_seen():
    assert to_pixels(torch.tensor([[[0.0, 0.5, 1.0]]])).tolist() == [[0, 128, 255]]
    assert to_pixels(torch.tensor([[[-2.0, 0.0, 2.0]]])).tolist() == [[0, 128, 255]]
