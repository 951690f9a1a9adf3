"""PCA whitening of several processes has the bits of one (R4, P9)."""

import pytest
import torch
from processes import run_processes

from mmdeepcluster.clustering import PCAWhitening, RowShare

N, D = 4 * 1024 + 100, 600  # five tiles, the last one short; two blocks of columns


def whitened(bad_row=None):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(N, D, generator=generator) * torch.logspace(0, -3, D) + 2.0
    # Rows of very different lengths: plain fp64 sums would depend on their order.
    rows[::1500] *= 1e6
    if bad_row is not None:
        rows[bad_row] = float("nan")
    share = RowShare.of_this_process(N)
    rows = rows[share.start : share.stop]
    try:
        transform = PCAWhitening(40).fit(rows, share)
    except ValueError as error:
        return str(error)
    output = share.gather(transform(rows))
    return [transform.mean, transform.projection, transform.explained_variance, output]


@pytest.fixture(scope="module")
def of_one():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield whitened()
    torch.set_num_threads(threads)


def whitened_and_refused():
    return whitened(), whitened(bad_row=3000)


def test_same_bits_and_all_refuse_a_bad_row(of_one):
    refusals = []
    for found, refused in run_processes(whitened_and_refused, 2):
        assert all(torch.equal(one, many) for one, many in zip(of_one, found, strict=True))
        refusals.append(refused)
    # Both raise: or else the other would wait for ever in the next collective.
    assert "0 of 2048 rows (in rows of other processes)" in refusals[0]
    assert "1 of 2148 rows (first: [3000])" in refusals[1]


@pytest.mark.slow
def test_same_bits_on_four_processes(of_one):
    for found in run_processes(whitened, 4):
        assert all(torch.equal(one, many) for one, many in zip(of_one, found, strict=True))
