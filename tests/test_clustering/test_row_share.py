"""Shares of rows: complete, in order, whole tiles."""

import pytest
import torch

from mmdeepcluster.clustering.row_share import ROW_TILE, RowShare


@pytest.mark.parametrize("num_rows", [0, 1, 1023, 1024, 1025, 5000, 12345])
@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_shares_are_the_whole_in_order(num_rows, world_size):
    shares = [RowShare(num_rows, rank, world_size) for rank in range(world_size)]
    assert torch.cat([share.indices for share in shares]).tolist() == list(range(num_rows))
    assert all(share.start % ROW_TILE == 0 or len(share) == 0 for share in shares)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 2 * ROW_TILE  # one tile, and a last one that is short


def test_wrong_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"rank 1 of 2 holds rows 1024 to 2000 of 2000.*given 7"):
        RowShare(2000, 1, 2).check(torch.zeros(7, 2))
    with pytest.raises(ValueError, match=r"rank 2 is outside \[0, 2\)"):
        RowShare(10, 2, 2)


def test_one_process_says_nothing_and_needs_no_group():
    share = RowShare(3)
    rows = torch.arange(6.0).reshape(3, 2)
    assert share.all_reduce(rows, "max") is rows and share.broadcast(rows) is rows
    assert share.gather(rows) is rows and share.exchange(rows, [3], [3]) is rows
    assert share.all_gather(rows) == [rows]


def test_a_group_is_no_part_of_which_rows_they_are():
    assert RowShare(10, 1, 2, group=object()) == RowShare(10, 1, 2)
    assert repr(RowShare(10, 1, 2, group=object())) == repr(RowShare(10, 1, 2))
