"""Without data workers the next batch is loaded while the network works (issue 7, the cycle)."""

import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmdeepcluster.models.prefetch import prefetched

PAUSE = 0.05


class Slow(Dataset):
    def __init__(self, broken=None):
        self.broken = broken

    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(PAUSE / 2)
        if index == self.broken:
            raise OSError(f"cannot read {index}")
        return index


def test_loads_while_the_caller_works():
    loader = DataLoader(Slow(), batch_size=2)
    start = time.perf_counter()
    found = []
    for batch in prefetched(loader):
        time.sleep(PAUSE)
        found.append(batch)
    seconds = time.perf_counter() - start
    assert torch.equal(torch.cat(found), torch.arange(8))
    # by turns it would take 8 pauses, side by side 5
    assert seconds < 7 * PAUSE


def test_an_error_arrives_at_its_batch():
    batches = prefetched(DataLoader(Slow(broken=5), batch_size=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="cannot read 5"):
        next(batches)
