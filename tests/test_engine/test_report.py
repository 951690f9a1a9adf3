"""Parts of the final report."""

import csv

import numpy as np
import torch

from mmdeepcluster.clustering import Assignment, RowShare
from mmdeepcluster.datasets.base import ArrayImageDataset
from mmdeepcluster.engine import report, sample_table


def test_samples_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_table, "_CHUNK", 3)
    images = np.zeros((8, 4, 4), np.uint8)
    dataset = ArrayImageDataset(images, "train", np.arange(8) % 2, ("cat", "dog"))
    assignment = Assignment(torch.arange(8) % 3, torch.arange(8) / 4, torch.zeros(8))
    report.write_samples(tmp_path / "samples.csv", dataset, assignment, torch.arange(8).flip(0))
    with (tmp_path / "samples.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows == [
        [str(i), f"train/{i}", ["cat", "dog"][i % 2], str(i % 3), f"{i / 4:.6f}", str(7 - i)]
        for i in range(8)
    ]


def test_a_sample_of_shares_is_that_of_the_whole():
    features = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0))
    whole = report._gather_subset(features, RowShare(5000), 40, seed=1)
    assert torch.equal(whole, features[torch.tensor(report._subset(5000, 40, 1))])
    assert torch.equal(report._gather_subset(features, RowShare(5000), 5000, seed=1), features)
    shares = [RowShare(5000, rank, 3) for rank in range(3)]
    # without a process group nothing is added up, so each gives its own rows among zeros
    parts = [report._gather_subset(features[s.start : s.stop], s, 40, seed=1) for s in shares]
    assert torch.equal(torch.stack(parts).sum(dim=0), whole)
    assert all(bool(part.any()) for part in parts)
