"""Sums of unit vectors that do not depend on the order of their terms.

Rows are kept on a grid: their numbers are multiples of a power of two, so coarse that every sum of
N of them fits into the 53 bits of fp64. Then no addition rounds. The total is the same in any
order, on any number of threads, processes or GPUs, and taking a term away again leaves no rest: a
running sum stays equal to a recompute for ever, and W processes get the bits of one.
"""

from __future__ import annotations

from torch import Tensor

_FP64_BITS = 53


def grid_bits(num_terms: int) -> int:
    """Binary places behind the point with which sums of that many terms in [-1, 1] are exact.

    32 for ImageNet: numbers above 0.002 in size are on the grid as they are in fp32, smaller ones
    are moved by at most 1.2e-10.
    """
    return _FP64_BITS - max(1, num_terms).bit_length()


def to_grid(rows: Tensor, bits: int) -> Tensor:
    """Rows in fp32 rounded to multiples of ``2 ** -bits``; scaling by it is exact."""
    return (rows * 2.0**bits).round_().mul_(2.0**-bits)
