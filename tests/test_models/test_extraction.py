"""Features of a share are extracted by its process alone, with the bits of one process (R2)."""

import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmdeepcluster.clustering import RowShare
from mmdeepcluster.datasets import ImageView, build_eval_loader
from mmdeepcluster.datasets.base import ArrayImageDataset
from mmdeepcluster.datasets.samplers import DealtBatchSampler
from mmdeepcluster.models import extract, extraction, row_pass
from mmdeepcluster.registry import ALGORITHMS

N = 2500  # three tiles of 1024


class CountedImages(ArrayImageDataset):
    """Says which images were read, and cannot read some."""

    broken = frozenset()

    def load_image(self, index):
        self.read.append(index)
        if index in self.broken:
            raise OSError("the disk is gone")
        return super().load_image(index)


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (N, 32, 32), dtype=np.uint8)
    dataset = CountedImages(pixels, "train")
    dataset.read = []
    return dataset


@pytest.fixture
def algorithm():
    torch.manual_seed(0)
    return ALGORITHMS.build(
        {
            "type": "DeepCluster",
            "num_samples": N,
            "num_clusters": 4,
            "backbone": {"type": "LeNet5", "in_channels": 1},
            "neck": {"type": "AveragePoolNeck"},
            "head": {"type": "ClusterHead"},
            "data_preprocessor": {"type": "ImagePreprocessor", "mean": [128.0], "std": [64.0]},
        }
    )


def loader(images, **options):
    view = ImageView(images, [{"type": "PILToTensor"}])
    return build_eval_loader(view, **{"batch_size": 96, "num_workers": 0} | options)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_shares_make_up_the_whole(algorithm, images, world_size, monkeypatch):
    whole = extract(algorithm, loader(images), ("neck", "conv_2"))
    monkeypatch.setattr(extraction, "all_gather", None)  # no feature is sent
    # in this process shares are extracted one after the other: each says its width alone
    other = (None, {"neck": 84}, False)
    monkeypatch.setattr(extraction, "all_gather_object", lambda said, group: [said, other])
    parts, visited = [], []
    for rank in range(world_size):
        share = RowShare(N, rank, world_size)
        images.read.clear()
        dealt = loader(images, rank=rank, world_size=world_size)
        images.read.clear()
        layers = ("neck", "conv_2") if len(share) else ("neck",)
        parts.append(extract(algorithm, dealt, layers, share=share))
        visited.append(list(images.read))
        assert len(parts[-1]["neck"]) == len(share)
        # whole batches of one process, so those on a border are read twice, and no other one
        first = share.start // 96 * 96
        assert visited[-1] == list(range(first, min(N, -(-share.stop // 96) * 96)) if share else [])
    for name, rows in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts if name in part]), rows)
    assert sum(map(len, visited)) <= N + 96 * (world_size - 1)


def test_a_subset_and_the_same_workers_again(algorithm, images):
    subset = list(range(0, N, 2))
    workers = loader(images, indices=subset, num_workers=2, rank=1, world_size=2)
    before = [batch["sample_idx"].tolist() for batch in workers]
    share = RowShare(len(subset), 1, 2)
    own = extract(algorithm, workers, share=share)["neck"]
    expected = extract(algorithm, loader(images, indices=subset))["neck"]
    assert torch.equal(own, expected[share.start : share.stop])
    # afterwards it deals batches in turn as before
    assert [batch["sample_idx"].tolist() for batch in workers] == before


def test_writes_into_given_matrices(algorithm, images):
    out = {"neck": torch.full((N, 84), torch.nan)}
    assert extract(algorithm, loader(images), out=out, share=RowShare(N))["neck"] is out["neck"]
    assert torch.equal(out["neck"], extract(algorithm, loader(images))["neck"])


def test_refusals(algorithm, images):
    whole = RowShare(N)
    with pytest.raises(ValueError, match="give keep or share, not both"):
        extract(algorithm, loader(images), keep=torch.arange(3), share=whole)
    with pytest.raises(ValueError, match="the loader visits 10 samples, the share is of 2500"):
        extract(algorithm, loader(images, indices=range(10)), share=whole)
    with pytest.raises(ValueError, match="distinct samples in ascending order"):
        extract(algorithm, loader(images, indices=[3, 2]), share=RowShare(2))
    nn.init.constant_(next(algorithm.backbone.parameters()), float("nan"))
    algorithm.train()
    with pytest.raises(ValueError, match=r"layer 'neck' hold NaN or infinity \(samples \[0, 1"):
        extract(algorithm, loader(images), share=whole)
    assert algorithm.training


@pytest.mark.parametrize("here", [True, False])
def test_a_problem_of_one_process_is_that_of_all(algorithm, images, here, monkeypatch, log):
    other = (None if here else "cannot read 7.jpg", {"neck": 84}, False)
    monkeypatch.setattr(extraction, "all_gather_object", lambda said, group: [said, other])
    dealt = loader(images, rank=0, world_size=2)
    if here:
        monkeypatch.setattr(images, "broken", {700})
        with pytest.raises(OSError, match="cannot read 'train/700'"):
            extract(algorithm, dealt, share=RowShare(N, 0, 2))
        assert "process 0 cannot extract its features: cannot read 'train/700'" in log[0]
    else:
        with pytest.raises(RuntimeError, match=r"process 1 cannot extract .*cannot read 7\.jpg"):
            extract(algorithm, dealt, share=RowShare(N, 0, 2))
        assert log == []


@pytest.fixture
def log():
    said = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def test_a_long_pass_says_how_far_it_is(algorithm, images, monkeypatch, log):
    now = iter(range(0, 10_000, 4))  # a batch takes four seconds
    monkeypatch.setattr(row_pass.time, "monotonic", lambda: float(next(now)))
    extract(algorithm, loader(images, batch_size=500), share=RowShare(N))
    extract(algorithm, loader(images, batch_size=500))
    # 1500 images in 12 s; a pass of 20 s says nothing again before its end
    assert log == ["features of 1,500 of 2,500 images, 125 images/s, 8 s to go"] * 2


def test_batches_of_a_span():
    batches = DealtBatchSampler(range(20), 4, 1, 2)
    assert [batch[0] for batch in batches] == [4, 12] and len(batches) == 2
    for span, firsts in (((5, 13), [4, 8, 12]), ((8, 8), []), ((19, 20), [16]), ((0, 4), [0])):
        with batches.visiting(*span):
            assert [batch[0] for batch in batches] == firsts and len(batches) == len(firsts)
    assert [batch[0] for batch in batches] == [4, 12]
    with pytest.raises(ValueError, match="positions 5 to 21 are not all among the 20"):
        batches.visiting(5, 21).__enter__()
