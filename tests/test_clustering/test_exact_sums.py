"""The grid on which sums of unit vectors are exact."""

from fractions import Fraction

import pytest
import torch

from mmdeepcluster.clustering.exact_sums import grid_bits, to_grid
from mmdeepcluster.clustering.functional import l2_normalize


@pytest.mark.parametrize(("num_terms", "bits"), [(1, 52), (1000, 43), (1_281_167, 32)])
def test_the_largest_sum_fits(num_terms, bits):
    assert grid_bits(num_terms) == bits
    assert num_terms * 2**bits < 2**53  # all whole numbers up to there are fp64 numbers


def test_sums_equal_those_of_fractions():
    # the truth in rational arithmetic, with terms from 1 down to denormal sizes
    num_terms = 1_281_167
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 4, generator=generator)
    rows = rows * 10.0 ** torch.randint(-40, 1, (500, 4), generator=generator)
    rows = to_grid(l2_normalize(rows), grid_bits(num_terms))
    expected = [sum(Fraction(float(value)) for value in column) for column in rows.T]
    for order in (torch.arange(500), torch.randperm(500, generator=generator)):
        total = torch.zeros(4, dtype=torch.float64)
        for row in rows[order]:
            total += row.double()
        assert [Fraction(float(value)) for value in total] == expected


def test_rounding_is_small():
    rows = l2_normalize(torch.randn(100, 64, generator=torch.Generator().manual_seed(0)))
    moved = to_grid(rows, 32)
    assert (moved - rows).abs().max() <= 2.0**-33
    large = rows.abs() >= 2.0**-9
    assert torch.equal(moved[large], rows[large])
    assert to_grid(moved, 32).equal(moved)
