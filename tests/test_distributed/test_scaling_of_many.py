"""The scaling model counts the bytes that two-level k-means really sends (R58)."""

import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from processes import run_processes

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from scaling_model import bytes_per_rank, gathered, passed_on, reduced
from scaling_problem import Problem

from mmdeepcluster.clustering import RowShare, TwoLevelKMeans, row_share

PROBLEM = Problem(8192, 128, 32, world_size=4, num_super_clusters=2, max_iters=3)
# Decisions of a few numbers each, which the model leaves out.
SMALL = 1024


def size_of(values):
    return values.numel() * values.element_size()


def sent_bytes():
    """What this process hands to each kind of collective, as rings send it."""
    rows = torch.randn(8192, 32, generator=torch.Generator().manual_seed(0))
    rows[::2, 0] += 100.0  # two super-clusters of the same size on all processes
    share = RowShare.of_this_process(8192)
    found = dict.fromkeys(("all_reduce", "broadcast", "all_gather", "exchange", "small"), 0.0)
    real = {name: getattr(RowShare, name) for name in found if name != "small"}

    def add(name, size, sent):
        found[name if size >= SMALL else "small"] += sent

    def all_reduce(self, values, op="sum"):
        add("all_reduce", size_of(values), reduced(size_of(values), self.world_size))
        return real["all_reduce"](self, values, op)

    def broadcast(self, values, source=0):
        add("broadcast", size_of(values), passed_on(size_of(values), self.world_size))
        return real["broadcast"](self, values, source)

    def all_gather(self, values):
        total = size_of(values) * self.world_size
        add("all_gather", total, gathered(total, self.world_size))
        return real["all_gather"](self, values)

    def exchange(self, rows, sent, received):
        add("exchange", size_of(rows), size_of(rows))
        return real["exchange"](self, rows, sent, received)

    with mock.patch.multiple(
        row_share.RowShare,
        all_reduce=all_reduce,
        broadcast=broadcast,
        all_gather=all_gather,
        exchange=exchange,
    ):
        result = TwoLevelKMeans(128, 2, max_iters=3).fit(
            rows[share.start : share.stop], 0, share=share
        )
    found["iterations"] = result.num_iters
    return found


def test_bytes_of_four_processes():
    everyone = run_processes(sent_bytes, 4)
    expected = bytes_per_rank(PROBLEM)
    for found in everyone:
        assert found["small"] < 20 * SMALL
    # Level 1 ends after one iteration that changes nothing, so its messages are too short to count.
    total = {name: sum(one[name] for one in everyone) / 4 for name in everyone[0]}
    labels = gathered(8 * 8192, 4), gathered(8 * 8192 / 2, 2)
    assert total["all_gather"] == sum(labels)
    level_1 = expected["level 1"] - labels[0]
    assert total["all_reduce"] == pytest.approx(expected["level 2"] - labels[1], rel=0.01)
    assert level_1 < 0.05 * total["all_reduce"]
    assert total["exchange"] == pytest.approx(expected["redistribution"], rel=0.02)
    assert total["broadcast"] == expected["result"]
