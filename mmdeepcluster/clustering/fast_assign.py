"""Nearest centroids: proposed in fast arithmetic, certified, and decided in fp64 where it is close.

Each row's scores are computed with a known error bound E (:mod:`.arithmetic`). Centroids whose
score is above the lowest one plus 2 E cannot be nearest. If one centroid is left, it is certified;
if a few are left, :mod:`.candidates` decides between them; if many are left, the row's scores are
computed again in more precise arithmetic. The labels are those of a brute-force search in fp64,
lowest index on ties, whatever the tiles, threads, processes, or instructions of the machine.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.clustering.arithmetic import (
    BF16,
    FP64,
    Arithmetic,
    CentroidOperand,
    RowOperand,
    ladder,
    row_operand,
)
from mmdeepcluster.clustering.candidates import Pairs, decide
from mmdeepcluster.clustering.functional import Metric
from mmdeepcluster.clustering.row_source import RowSource

# A tile of scores stays in the L2 or L3 cache of a CPU while it is searched.
_TILE_ROWS = 512
_TILE_SCORES = 5 << 19
# With more candidates than that, and more than a share of all, another product is cheaper.
_FEW = 32
_FEW_SHARE = 32
_GPU_TILE_SCORES = 1 << 24


class SearchRows:
    """Rows that are searched again and again, prepared once.

    Args:
        source: The rows.
        metric: ``l2`` or ``dot``.
        shift: Subtracted from rows and centroids for ``l2``; labels do not depend on it. (D,).
        keep: Whether rows prepared in bf16 are kept, which takes half the memory of rows in fp32.
            Those of a memory map never are.
    """

    def __init__(
        self, source: RowSource, metric: Metric, shift: Tensor | None = None, keep: bool = False
    ) -> None:
        self.source = source
        self.metric = metric
        self.shift = shift if metric == "l2" else None
        self.arithmetic = ladder(source.device)[0]
        keep = keep and not source.mapped and self.arithmetic is BF16
        self._kept: dict[int, RowOperand] | None = {} if keep else None

    def chunk(self, start: int, stop: int) -> tuple[Tensor, RowOperand]:
        """Rows of a span in fp32, and prepared."""
        rows = self.source.rows(start, stop)
        operand = self._kept.get(start) if self._kept is not None else None
        if operand is None:
            operand = row_operand(rows, self.shift, self.metric, self.arithmetic)
            if self._kept is not None:
                self._kept[start] = operand
        return rows, operand


class _Level(NamedTuple):
    """Centroids prepared for one arithmetic; ``columns`` are their numbers, None for all."""

    arithmetic: Arithmetic
    operand: CentroidOperand
    columns: Tensor | None


class CentroidSearch:
    """Finds the nearest of fixed centroids.

    Args:
        centroids: Centroids (K, D), finite; computed in fp32.
        metric: ``l2`` or ``dot`` (largest product).
        shift: As that of the rows. (D,) or None.

    Attributes:
        num_rows: Rows searched so far.
        num_rescored: How many of them were not certified by the first product.
    """

    def __init__(
        self, centroids: Tensor, metric: Metric = "l2", shift: Tensor | None = None
    ) -> None:
        self.centroids = centroids.float()
        self.metric = metric
        self.shift = shift if metric == "l2" else None
        self.num_rows = self.num_rescored = 0
        self._ladder = ladder(centroids.device)
        self._levels: dict[int, _Level] = {}
        self._lock = threading.Lock()

    def assign(self, rows: SearchRows) -> Tensor:
        """Index of the nearest centroid of each row, int64 (N,)."""
        # One tensor for all: small results that stay between large ones that go would keep the
        # memory of these from being used again.
        labels = torch.empty(len(rows.source), dtype=torch.int64, device=rows.source.device)

        def search(span: tuple[int, int]) -> None:
            labels[slice(*span)] = self._search(*rows.chunk(*span), 0)

        _in_threads(search, list(rows.source.spans()), rows.source.device)
        return labels

    def _search(self, rows: Tensor, operand: RowOperand, depth: int) -> Tensor:
        level = self._level(depth)
        last = depth + 1 == len(self._ladder)
        size = len(self.centroids)
        few = size if last else max(_FEW, size // _FEW_SHARE)
        pairs = propose(operand, level.operand, few)
        counts = torch.bincount(pairs.row, minlength=len(rows))
        if level.columns is not None:
            pairs = Pairs(pairs.row, level.columns[pairs.column])
        labels = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        if last and bool((counts == 0).any()):  # no number of fp32 overflows in fp64
            raise ValueError("features or centroids hold NaN or infinity")
        many = ((counts == 0) | (counts > few)) & (not last)
        close = (counts > 1) & ~many
        alone = pairs.where(counts[pairs.row] == 1)
        labels[alone.row] = alone.column
        if bool(close.any()):
            won = decide(rows, self.centroids, self.metric, pairs.where(close[pairs.row]))
            labels[won.row] = won.column
        if bool(many.any()):
            rest = rows[many]
            again = row_operand(rest, self.shift, self.metric, self._ladder[depth + 1])
            labels[many] = self._search(rest, again, depth + 1)
        if depth == 0:
            with self._lock:
                self.num_rows += len(rows)
                self.num_rescored += len(rows) - len(alone.row)
        return labels

    def _level(self, depth: int) -> _Level:
        with self._lock:
            if depth not in self._levels:
                arithmetic, centroids, columns = self._ladder[depth], self.centroids, None
                if arithmetic is FP64:  # only equal centroids have equal scores in the end
                    columns = _first_occurrences(centroids)
                    centroids = centroids[columns]
                operand = CentroidOperand(centroids, self.shift, self.metric, arithmetic)
                self._levels[depth] = _Level(arithmetic, operand, columns)
            return self._levels[depth]


def nearest_certified(
    features: Tensor | NDArray[np.floating], centroids: Tensor, metric: Metric = "l2"
) -> Tensor:
    """Index of the nearest centroid of each row of (N, D), int64 (N,), on the rows' device.

    Equal to a brute-force search in fp64; of equal distances the lowest index wins.

    Args:
        features: Rows (N, D); a tensor, an array or a memory map.
        centroids: Centroids (K, D).
        metric: ``l2`` or ``dot``.

    Raises:
        ValueError: If the widths differ, there is no centroid, or a number is not finite.
    """
    source = RowSource(features)
    centroids = centroids.to(source.device).float()
    if centroids.ndim != 2 or not len(centroids) or centroids.shape[1] != source.dim:
        raise ValueError(
            f"centroids must be (K, {source.dim}) for features of {source.dim} dimensions, "
            f"got {tuple(centroids.shape)}"
        )
    shift = centroids.mean(dim=0)
    return CentroidSearch(centroids, metric, shift).assign(SearchRows(source, metric, shift))


def propose(rows: RowOperand, centroids: CentroidOperand, few: int) -> Pairs:
    """Candidates of each row: the nearest centroid is among them.

    A row has none whose scores overflowed, or are not positive where that is needed; so may one
    that has more than ``few``: in a set of equal rows, pairs would take more memory than the rows.
    """
    errors = centroids.error(rows)
    if rows.matrix.dtype == torch.bfloat16 and _has_kernel(rows.matrix.device):
        return _propose_fused(rows.matrix, centroids.matrix, errors, few)
    return _propose_tiled(rows.matrix, centroids.matrix, errors, few)


def _propose_tiled(rows: Tensor, centroids: Tensor, errors: Tensor, few: int) -> Pairs:
    size, on_cpu = len(centroids), rows.device.type == "cpu"
    step = max(1, (_TILE_SCORES if on_cpu else _GPU_TILE_SCORES) // size)
    step = min(step, _TILE_ROWS) if on_cpu else step
    scratch = rows.new_empty(min(step, len(rows)) if on_cpu else 0, size)
    found = [torch.empty(0, dtype=torch.int64, device=rows.device)]
    for start in range(0, len(rows), step):
        part, error = rows[start : start + step], errors[start : start + step]
        if not on_cpu:
            mask = _candidates(_product_on_gpu(part, centroids), error)
        else:
            tile = torch.mm(part, centroids.T, out=scratch[: len(part)])
            mask = (_candidates_bf16 if tile.dtype == torch.bfloat16 else _candidates)(tile, error)
        found.append(_positions(mask, few) + start * size)
    flat = torch.cat(found)
    row = flat.div(size, rounding_mode="floor")
    return Pairs(row, flat - row * size)


def _propose_fused(rows: Tensor, centroids: Tensor, errors: Tensor, few: int) -> Pairs:
    """Certifies by the lowest two scores of one kernel; other rows are searched in tiles."""
    from mmdeepcluster.clustering.triton_top_two import top_two

    column, low, second = top_two(rows, centroids)
    alone = second > _limit(low, errors)
    rest = (~alone).nonzero().flatten()
    pairs = _propose_tiled(rows[rest], centroids, errors[rest], few)
    certified = alone.nonzero().flatten()
    row, order = torch.cat([certified, rest[pairs.row]]).sort(stable=True)
    return Pairs(row, torch.cat([column[certified], pairs.column])[order])


def _has_kernel(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def _limit(low: Tensor, error: Tensor) -> Tensor:
    """Highest score (N,) at which a centroid may still be nearer than that of the lowest one."""
    return low + 2.0 * error + low.abs() * torch.finfo(low.dtype).eps * 4


def _candidates(tile: Tensor, error: Tensor) -> Tensor:
    """Mask of the scores in a tile that may be the lowest of their row."""
    low = tile.amin(dim=1)
    limit = _limit(low, error)
    return (tile <= limit.unsqueeze(1)) & limit.isfinite().unsqueeze(1)


def _candidates_bf16(tile: Tensor, error: Tensor) -> Tensor:
    """The same for scores written in bf16, searched as integers by numpy, which uses SIMD.

    Positive numbers in bf16 are ordered as the integers with the same bits.
    """
    scores = tile.view(torch.int16).numpy()
    low = scores.min(axis=1)
    # A written score is within a factor of 1 +- out_unit of the computed one.
    factor = 1.0 + 2.0 * BF16.out_unit
    value = torch.from_numpy(low).view(torch.bfloat16).float()
    limit = ((value * factor + 2.0 * error) * factor).numpy()
    mask = scores <= ((limit.view(np.int32) >> 16) + 1).astype(np.int16)[:, None]
    failed = (low < 0) | ~np.isfinite(limit)
    if failed.any():
        mask[failed] = False
    return torch.from_numpy(mask)


def _positions(mask: Tensor, few: int) -> Tensor:
    """Flat positions under a mask; without rows of many where they are many in all."""
    if mask.device.type != "cpu":
        mask &= (mask.sum(dim=1) <= few).unsqueeze(1)
        return mask.flatten().nonzero().flatten()
    array = mask.numpy()  # numpy searches faster than torch
    if np.count_nonzero(array) > few * len(array):
        array[np.count_nonzero(array, axis=1) > few] = False
    return torch.from_numpy(np.flatnonzero(array))


def _product_on_gpu(rows: Tensor, centroids: Tensor) -> Tensor:
    """``rows @ centroids.T`` summed, and for bf16 operands also written, in fp32."""
    if rows.dtype == torch.bfloat16:
        return torch.mm(rows, centroids.T, out_dtype=torch.float32)
    return rows @ centroids.T


def _first_occurrences(rows: Tensor) -> Tensor:
    """Numbers of the rows that equal no earlier one, ascending."""
    _, group = torch.unique(rows, dim=0, return_inverse=True)
    number = torch.arange(len(rows), device=rows.device)
    first = number.new_full((int(group.max()) + 1,), len(rows))
    return first.scatter_reduce_(0, group, number, "amin").sort().values


def _in_threads(
    search: Callable[[tuple[int, int]], None],
    spans: list[tuple[int, int]],
    device: torch.device,
) -> None:
    """Searches all spans; on a CPU by as many threads as torch has.

    Each thread multiplies alone: the search between two products then uses all cores, too.
    """
    threads = min(torch.get_num_threads(), len(spans))
    if device.type != "cpu" or threads <= 1:
        for span in spans:
            search(span)
        return
    own = torch.get_num_threads()
    try:
        # The number of threads is kept by thread; what is restored is that of threads to come.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(search, spans))  # raises what a thread raised
    finally:
        torch.set_num_threads(own)
