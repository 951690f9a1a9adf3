"""Mean and covariance of a feature matrix: one pass of products, the same bits on any processes.

Products are fp32, over tiles of :data:`ROW_TILE` centred rows; totals are fp64. Rows are scaled by
a power of two so that every product may be rounded to a whole number and no sum of such numbers
exceeds the 53 bits of fp64 (see :mod:`mmdeepcluster.clustering.exact_sums`). Then no addition
rounds, and W processes that each hold whole tiles get the bits of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.clustering.exact_sums import grid_bits
from mmdeepcluster.clustering.row_share import ROW_TILE, RowShare

Features = Tensor | NDArray[Any]

# Columns of one product. Only the blocks on and above the diagonal are computed, so smaller blocks
# save more of the other half. 256 are a tenth faster on a machine that does nothing else, but where
# other processes use the cores, threads wait for each other in each operation: few, large ones.
_BLOCK = 512
# The centre that is subtracted before the products is a mean of each 16th row: any point near the
# mean would do, what is left of the mean is subtracted afterwards.
_CENTRE_STRIDE = 16
# A scale must stay a normal fp32 number.
_MAX_EXPONENT = 120


def row_tiles(features: Features) -> Iterator[Tensor]:
    """Consecutive tiles of :data:`ROW_TILE` rows in fp32; of a memory map one tile is in memory."""
    for start in range(0, len(features), ROW_TILE):
        yield as_float(features[start : start + ROW_TILE])


def device_of(features: Features) -> torch.device:
    """Where rows are; arrays are on the CPU."""
    return features.device if isinstance(features, Tensor) else torch.device("cpu")


def as_float(rows: Features) -> Tensor:
    """Rows as an fp32 tensor; those of an array, which may be read-only, are copied."""
    if isinstance(rows, Tensor):
        return rows.float()
    return torch.from_numpy(np.array(rows, dtype=np.float32))


@contextmanager
def full_fp32() -> Iterator[None]:
    """Products in true fp32 within, also where the user allowed TF32 or bf16 for the network."""
    switches: list[Any] = [
        torch.backends.cuda.matmul,
        getattr(torch.backends.mkldnn, "matmul", None),
    ]
    if not all(hasattr(switch, "fp32_precision") for switch in switches):  # before torch 2.9
        legacy = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(legacy)
        return
    # The older function would refuse to work once the user has set one of these.
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


@torch.no_grad()
def mean_and_covariance(
    features: Features, share: RowShare | None = None, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) with divisor N - 1, in fp64; collective with a share.

    Reads the rows twice: for their range, and for the products.

    Args:
        features: Rows (n, D) of this process, a tensor or an array (also a memory map).
        share: Which rows of the whole matrix (N, D) they are. Defaults to all of them.
        device: Where tiles of them are multiplied. Defaults to where they are.

    Raises:
        ValueError: If it is no matrix of at least two rows, or a row holds NaN or infinity.
    """
    share = RowShare(len(features)) if share is None else share
    share.check(features)  # type: ignore[arg-type]  # asks for the length alone
    if features.ndim != 2 or features.shape[1] == 0 or share.num_rows < 2:
        raise ValueError(
            f"features must be a matrix (N, D) with at least 2 rows, got {tuple(features.shape)}"
        )
    low, high = _range(features, share, device or device_of(features))
    centre = _centre(features, share, low, high)
    largest = float(torch.maximum(high - centre, centre - low).max())
    if not math.isfinite(largest):
        raise ValueError("features are too large for fp32: their range is not a finite number")
    with full_fp32():
        return _centred_moments(features, share, centre, largest)


def _range(features: Features, share: RowShare, device: torch.device) -> tuple[Tensor, Tensor]:
    """Smallest and largest number of each column, of all processes."""
    # Of the largest and of the negative smallest number, since both are then maxima.
    extremes = torch.full((2, features.shape[1]), -torch.inf, device=device)
    for tile in row_tiles(features):
        tile = tile.to(device)
        found = torch.stack([-tile.amin(dim=0), tile.amax(dim=0)])
        extremes = torch.maximum(extremes, found)
    # NaN would not survive every maximum over processes; infinity does.
    extremes = share.all_reduce(extremes.nan_to_num(torch.inf, torch.inf, -torch.inf), "max")
    if bool((extremes == torch.inf).any()):
        _refuse_bad_rows(features, share)
    return -extremes[0], extremes[1]


def _refuse_bad_rows(features: Features, share: RowShare) -> None:
    bad = torch.cat(
        [torch.zeros(0, dtype=torch.bool)]
        + [~torch.isfinite(tile).all(dim=1).cpu() for tile in row_tiles(features)]
    )
    rows = bad.nonzero().flatten() + share.start
    where = f"(first: {rows[:5].tolist()})" if len(rows) else "(in rows of other processes)"
    raise ValueError(
        f"features hold NaN or infinity in {len(rows)} of {len(features)} rows {where}; the "
        "network has diverged or an input is broken: lower optim_wrapper.optimizer.lr or look at "
        "these samples"
    )


def _exponent(number: float) -> int:
    """Least e with ``number < 2 ** e``."""
    return math.frexp(number)[1]


def _centre(features: Features, share: RowShare, low: Tensor, high: Tensor) -> Tensor:
    """About the mean, fp32 (D,), equal on all processes."""
    count = -(-share.num_rows // _CENTRE_STRIDE)
    largest = float(torch.maximum(high.abs(), low.abs()).max())
    scale = 2.0 ** (grid_bits(count) - _exponent(largest))
    total = torch.zeros_like(low, dtype=torch.float64)
    for start in range(0, len(features), ROW_TILE):
        rows = as_float(features[start : start + ROW_TILE : _CENTRE_STRIDE]).to(low.device).double()
        total += rows.mul_(scale).round_().sum(dim=0)
    return (share.all_reduce(total) / (scale * count)).float()


def _centred_moments(
    features: Features, share: RowShare, centre: Tensor, largest: float
) -> tuple[Tensor, Tensor]:
    """Sums of the rows minus ``centre`` and of their products; from these mean and covariance.

    Args:
        features: Rows (n, D) of this process.
        share: Which rows they are.
        centre: Point (D,) to subtract.
        largest: No number of a centred row is larger.
    """
    num_rows, dim = share.num_rows, features.shape[1]
    exponent = _exponent(largest)
    # Twice the terms: room for what fp32 rounds up.
    bits = grid_bits(2 * num_rows)
    half = max(-_MAX_EXPONENT, min((bits - 2 * exponent) // 2, _MAX_EXPONENT))
    finer = 2.0 ** (bits - exponent - half)  # sums of rows are smaller than sums of products
    sums = torch.zeros(dim, dtype=torch.float64, device=centre.device)
    moment = torch.zeros(dim, dim, dtype=torch.float64, device=centre.device)
    scratch = torch.empty(min(_BLOCK, dim) * dim, device=centre.device)
    for tile in row_tiles(features):
        rows = (tile.to(centre.device) - centre).mul_(2.0**half)
        sums += rows.sum(dim=0).double().mul_(finer).round_()
        _add_products(moment, rows, scratch)
    delta = share.all_reduce(sums) / (num_rows * finer)
    upper = share.all_reduce(moment).triu_()
    moment = upper + upper.triu(1).T
    covariance = (moment - num_rows * torch.outer(delta, delta)) / (num_rows - 1)
    return centre + delta * 2.0**-half, covariance * 2.0 ** (-2 * half)


def _add_products(moment: Tensor, rows: Tensor, scratch: Tensor) -> None:
    """Adds ``rows.T @ rows``, in whole numbers, to the blocks on and above the diagonal."""
    dim = rows.shape[1]
    for start in range(0, dim, _BLOCK):
        block = rows[:, start : start + _BLOCK]
        out = scratch[: block.shape[1] * (dim - start)].view(block.shape[1], dim - start)
        torch.mm(block.T, rows[:, start:], out=out)
        moment[start : start + _BLOCK, start:].add_(out.round_())
