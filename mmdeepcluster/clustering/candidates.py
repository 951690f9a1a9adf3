"""Decides between a few candidate centroids of each row, by arithmetic with one fixed order.

Which centroid is nearest must be a function of the data alone: not of tile shapes, threads,
processes or the arithmetic that proposed the candidates. So a candidate's score is computed in fp64
by element-wise operations and halving sums, whose result has the same bits everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdeepcluster.clustering.functional import Metric

_PAIRS = 1 << 14


class Pairs(NamedTuple):
    """Candidates, ordered by row and then by column.

    Attributes:
        row: Row of each pair, int64 (M,).
        column: Centroid of each pair, int64 (M,).
    """

    row: Tensor
    column: Tensor

    def where(self, keep: Tensor) -> Pairs:
        """The pairs under a mask (M,)."""
        return Pairs(self.row[keep], self.column[keep])


def halving_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension in an order that depends on its length alone."""
    while values.shape[-1] > 1:
        half = (values.shape[-1] + 1) // 2
        rest = values[..., half:]
        head = values[..., :half].clone()
        head[..., : rest.shape[-1]] += rest
        values = head
    return values[..., 0]


def exact_scores(rows: Tensor, centroids: Tensor, metric: Metric) -> Tensor:
    """Squared distance, or the negative product for ``dot``, of matching rows, fp64 (M,).

    Args:
        rows: Rows (M, D).
        centroids: Centroids (M, D).
        metric: ``l2`` or ``dot``.
    """
    rows, centroids = rows.double(), centroids.double()
    if metric == "dot":
        return halving_sum(rows * -centroids)
    return halving_sum((rows - centroids).square_())


def decide(rows: Tensor, centroids: Tensor, metric: Metric, pairs: Pairs) -> Pairs:
    """The pair with the lowest exact score of each row; of equal ones the lowest column.

    Args:
        rows: Rows (N, D), fp32.
        centroids: Centroids (K, D), fp32.
        metric: ``l2`` or ``dot``.
        pairs: Candidates; the winner of each row must be among them.

    Returns:
        One pair for each row that has candidates.
    """
    pairs = _narrow(pairs, *_fp32_scores(rows, centroids, metric, pairs))
    unique = _is_alone(pairs.row)
    close = pairs.where(~unique)
    if not len(close.row):
        return pairs
    parts = [
        exact_scores(rows[row], centroids[column], metric)
        for row, column in zip(close.row.split(_PAIRS), close.column.split(_PAIRS), strict=True)
    ]
    keep = unique.clone()
    keep[~unique] = _is_lowest(close, torch.cat(parts))
    return pairs.where(keep)


def _fp32_scores(
    rows: Tensor, centroids: Tensor, metric: Metric, pairs: Pairs
) -> tuple[Tensor, Tensor]:
    """Scores (M,) in fp32 and how far each may lie from the exact one."""
    values, errors = [], []
    # (D + 4) roundings of relative size 2^-24 in any order of summation; 1.1 covers products of
    # roundings and the rounding of the bound itself.
    unit = 1.1 * (rows.shape[1] + 4) * 2.0**-24
    for row, column in zip(pairs.row.split(_PAIRS), pairs.column.split(_PAIRS), strict=True):
        left, right = rows.index_select(0, row), centroids.index_select(0, column)
        if metric == "dot":
            errors.append(left.norm(dim=1) * right.norm(dim=1) * unit)
            values.append(left.mul_(right).sum(dim=1).neg_())
        else:
            values.append(left.sub_(right).square_().sum(dim=1))
            errors.append(values[-1] * unit)
    if not values:
        return rows.new_empty(0), rows.new_empty(0)
    # Numbers too small for fp32 are lost in squares.
    return torch.cat(values), torch.cat(errors) + 1e-37


def _narrow(pairs: Pairs, values: Tensor, errors: Tensor) -> Pairs:
    """Drops the pairs that cannot be the lowest of their row."""
    _, group = pairs.row.unique_consecutive(return_inverse=True)
    most = values + errors
    lowest = most.new_full((len(most),), torch.inf).scatter_reduce_(0, group, most, "amin")
    # Not `<=`: a pair whose score overflowed is kept.
    return pairs.where(~(values - errors > lowest[group]))


def _is_alone(row: Tensor) -> Tensor:
    """Whether no other pair has the same row, for ordered rows."""
    different = row[1:] != row[:-1]
    edge = torch.ones(1, dtype=torch.bool, device=row.device)
    return torch.cat([edge, different]) & torch.cat([different, edge])


def _is_lowest(pairs: Pairs, values: Tensor) -> Tensor:
    """The first pair of each row that has the row's lowest value, for ordered pairs."""
    _, group, sizes = pairs.row.unique_consecutive(return_inverse=True, return_counts=True)
    lowest = values.new_full((len(sizes),), torch.inf).scatter_reduce_(0, group, values, "amin")
    position = torch.arange(len(values), device=values.device)
    at_lowest = torch.where(values == lowest[group], position, len(values))
    first = position.new_full((len(sizes),), len(values)).scatter_reduce_(
        0, group, at_lowest, "amin"
    )
    return position == first[group]
