"""Sums of unit vectors that do not depend on the order of their terms.

Whole numbers add up to the same total in any order, on any number of threads, processes or GPUs,
and taking a term away again leaves no rest. So a running sum stays equal to a recompute for ever,
and W processes get the bits of one.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_BITS = 40
_ROWS = 4096


def fraction_bits(num_terms: int) -> int:
    """Binary places behind the point for sums of that many terms in [-1, 1] to fit in int64.

    40 up to four million terms: an error of 5e-13 a term, far below that of fp32.
    """
    return min(_MAX_BITS, 62 - max(1, num_terms).bit_length())


def to_fixed(values: Tensor, bits: int, weights: Tensor | None = None) -> Tensor:
    """Values in fp32 rounded to multiples of ``2 ** -bits``, as int64.

    Scaling by a power of two is exact in fp32, so nothing is gained by going through fp64.

    Args:
        values: Rows (N, D), fp32.
        bits: Binary places behind the point.
        weights: -1, 0 or 1 for each row (N,). Defaults to 1.
    """
    scale: Tensor | float = 2.0**bits
    if weights is not None:
        scale = weights.to(values.dtype).mul_(scale).unsqueeze(1)
    return (values * scale).round_().to(torch.int64)


def fixed_means(sums: Tensor, counts: Tensor, bits: int) -> Tensor:
    """Means (K, D) in fp32 of fixed-point sums (K, D) over counts (K,); zero where empty."""
    scale = 2.0**-bits / counts.clamp_min(1).double()
    return (sums.double() * scale.unsqueeze(1)).float()


def fixed_cluster_sums(
    features: Tensor, assignments: Tensor, num_clusters: int, bits: int
) -> Tensor:
    """Sum of the rows (N, D) of each cluster as int64 (K, D); memory does not grow with N."""
    shape = (num_clusters, features.shape[1])
    sums = torch.zeros(shape, dtype=torch.int64, device=features.device)
    for start in range(0, len(features), _ROWS):
        rows = slice(start, start + _ROWS)
        sums.index_add_(0, assignments[rows], to_fixed(features[rows], bits))
    return sums
