"""Scores of centroids in fast arithmetic, with a bound on how far they may be off.

The score of row x and centroid c is ``lift(x) + offset(c) - a x.c`` and is one product of two
matrices with three more columns than D, so that all of it is summed in the accumulator:

    [x - m, 1, 1, lift(x)] . [-a (c - m), high, low, last]

For ``l2`` a = 2, offset = high + low = ``|c - m|^2`` and the shift m (a mean) makes numbers small;
for ``dot`` a = 1, offset = 0 and m = 0. The lift is the same for all centroids of a row and keeps
scores positive, so that those in bf16 can be compared as integers.

The bound follows from Cauchy-Schwarz. With ``x = y + r`` and ``c = b + q``, where y and b are what
the operands hold and r and q what rounding lost, ``|x.c - y.b| <= |r| |c| + |y| |q|``; r and q are
measured, not estimated. Summing n terms with unit roundoff u adds ``n u (|y| |b| + ...)``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import Metric

_EXTRA = 3
# Tensor cores want aligned rows; columns of zeros fill them up.
_GPU_ALIGNMENT = 16
# Lengths are computed in the arithmetic of their operand; this covers their own rounding.
_SLOP = 1.001
# More than any bound of ours, so that a score does not fall below zero.
_LIFT = 1.0 + 2.0**-5


@dataclass(frozen=True)
class Arithmetic:
    """A way to multiply.

    Attributes:
        dtype: Type of the operands.
        sum_unit: Unit roundoff of the accumulator.
        out_unit: Unit roundoff of a score that is written, beyond that of the accumulator.
    """

    dtype: torch.dtype
    sum_unit: float
    out_unit: float

    @property
    def wide(self) -> torch.dtype:
        """Type in which operands are prepared."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


BF16 = Arithmetic(torch.bfloat16, 2.0**-24, 2.0**-8)
FP32 = Arithmetic(torch.float32, 2.0**-24, 0.0)
FP64 = Arithmetic(torch.float64, 2.0**-53, 0.0)


def ladder(device: torch.device) -> tuple[Arithmetic, ...]:
    """Arithmetics from the fastest on this device to the most precise one.

    bf16 stands for products with bf16 operands and fp32 sums; it is left out on a CPU that has no
    instructions for it, where it would be emulated.
    """
    if device.type == "cuda" or (device.type == "cpu" and cpu_multiplies_bf16()):
        return BF16, FP32, FP64
    return FP32, FP64


@functools.cache
def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has bf16 dot products (AVX512-BF16 or AMX), as far as Linux tells."""
    info = Path("/proc/cpuinfo")
    if not (torch.backends.mkldnn.is_available() and info.exists()):
        return False
    flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())


class RowOperand(NamedTuple):
    """Rows as they are multiplied.

    Attributes:
        matrix: (N, D + 3 or a little more) in the type of the arithmetic.
        length: Bound on the lengths (N,) of the rows in ``matrix``.
        lost: Bound on the lengths (N,) of what their rounding lost.
        lift: Last column (N,).
    """

    matrix: Tensor
    length: Tensor
    lost: Tensor
    lift: Tensor


def row_operand(
    rows: Tensor, shift: Tensor | None, metric: Metric, arithmetic: Arithmetic
) -> RowOperand:
    """Prepares rows (N, D) in fp32; ``shift`` is (D,) or None."""
    dim, wide = rows.shape[1], rows.to(arithmetic.wide)
    if shift is not None:
        wide = wide - shift.to(wide)
    matrix = wide.new_zeros(len(rows), _width(dim, rows.device), dtype=arithmetic.dtype)
    matrix[:, :dim] = wide
    rounded = matrix[:, :dim].to(wide.dtype)
    length = rounded.norm(dim=1).mul_(_SLOP)
    # The difference x - m was rounded once itself.
    lost = (wide - rounded).norm(dim=1) * _SLOP + length * torch.finfo(wide.dtype).eps
    matrix[:, dim : dim + 2] = 1.0
    matrix[:, dim + 2] = (length.square() if metric == "l2" else length) * _LIFT
    return RowOperand(matrix, length, lost, matrix[:, dim + 2].to(wide.dtype))


def _width(dim: int, device: torch.device) -> int:
    """Columns of an operand."""
    unit = _GPU_ALIGNMENT if device.type == "cuda" else 1
    return -(-(dim + _EXTRA) // unit) * unit


class CentroidOperand:
    """Centroids as they are multiplied, and the bounds that go with them.

    Args:
        centroids: Centroids (K, D), fp32.
        shift: (D,) or None, the same as for the rows.
        metric: ``l2`` or ``dot``.
        arithmetic: How products are computed.

    Attributes:
        matrix: (K, D + 3 or a little more) in the type of the arithmetic.
    """

    def __init__(
        self, centroids: Tensor, shift: Tensor | None, metric: Metric, arithmetic: Arithmetic
    ) -> None:
        self.arithmetic = arithmetic
        dim, exact = centroids.shape[1], centroids.double()
        if shift is not None:
            exact = exact - shift.double()
        offset = exact.square().sum(dim=1) if metric == "l2" else exact.new_zeros(len(exact))
        exact = exact * (-2.0 if metric == "l2" else -1.0)
        width = _width(dim, centroids.device)
        matrix = exact.new_zeros(len(exact), width, dtype=arithmetic.dtype)
        matrix[:, :dim] = exact
        matrix[:, dim] = offset
        matrix[:, dim + 1] = offset - matrix[:, dim].double()
        self._length = float(exact.norm(dim=1).amax()) * _SLOP
        matrix[:, dim + 2] = 1.0 if metric == "l2" else self._length * _LIFT
        self._lost = float((exact - matrix[:, :dim].double()).norm(dim=1).amax()) * _SLOP
        high_low = matrix[:, dim : dim + 2].double().sum(dim=1)
        self._offset_error = float((offset - high_low).abs().amax())
        self._offset = float(offset.amax())
        self._last = float(matrix[0, dim + 2])
        self._terms = 2 * matrix.shape[1]
        self.matrix = matrix

    def error(self, rows: RowOperand) -> Tensor:
        """Bound (N,) on the error of a score before it is written."""
        largest = rows.length * (self._length + self._lost) + rows.lift * self._last + self._offset
        unit = self._terms * self.arithmetic.sum_unit + self._operand_unit()
        error = rows.lost * self._length + rows.length * self._lost + largest * unit
        return (error + self._offset_error) * _SLOP + 1e-30

    def _operand_unit(self) -> float:
        """Rounding of fp32 operands inside of a product, where the user allowed it."""
        if self.arithmetic is not FP32 or torch.get_float32_matmul_precision() == "highest":
            return 0.0
        return 2.5 * 2.0**-8
