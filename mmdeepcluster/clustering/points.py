"""The rows that k-means clusters, dealt to processes, with sums that have the same bits for all.

Sums are exact: rows are put on a grid that is fine against fp32 and coarse enough for fp64 to hold
every sum of N of them (:mod:`.exact_sums`). So they do not depend on the order of their terms, and
a row may leave one sum and enter another without a trace.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmdeepcluster.clustering.candidates import halving_sum
from mmdeepcluster.clustering.exact_sums import grid_bits, to_grid
from mmdeepcluster.clustering.row_share import RowShare
from mmdeepcluster.clustering.row_source import Matrix, RowSource

# 2^120 and its inverse are numbers of fp32. Rows below 2^-80 in size lose accuracy.
_MOST_BITS = 120
_UNIT_TOLERANCE = 1e-2


class Points:
    """Rows of this process, checked; collective where there are several processes.

    Args:
        features: Rows of this process, (N, D) or those of ``share``.
        share: Which rows they are. All by default, without any communication.

    Attributes:
        source: The rows.
        share: Which rows they are.
        mean: Mean of the rows of this process (D,), fp32; a shift for the search and no more.
        unit: Whether all rows have length one or zero.

    Raises:
        ValueError: If they are not a matrix of floats, not those of the share, or hold NaN or
            infinity, on every process alike.
    """

    def __init__(self, features: Matrix, share: RowShare | None = None) -> None:
        self.source = RowSource(features)
        self.share = RowShare(len(self.source)) if share is None else share
        if len(self.source) != len(self.share):
            self.share.check(self.source.rows(0, len(self.source)))
        largest, lengths, total = self._look()
        self.mean = (total / max(1, len(self.source))).float()
        self.unit = self._all(((lengths - 1).abs() < _UNIT_TOLERANCE) | (lengths == 0))
        exponent = max(-_MOST_BITS, math.frexp(largest)[1])
        terms = grid_bits(self.num_rows)
        self._bits = min(_MOST_BITS, terms - exponent)
        # |x|^2 is at most D 4^exponent.
        self._square_bits = terms - 2 * exponent - max(1, self.dim).bit_length()
        self.squares = self._sum_of_squares()

    @property
    def num_rows(self) -> int:
        """N, over all processes."""
        return self.share.num_rows

    @property
    def dim(self) -> int:
        """D."""
        return self.source.dim

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.source.device

    def sums(self, labels: Tensor, num_clusters: int) -> Tensor:
        """Exact sum of this process's rows of each cluster, fp64 (K, D)."""
        sums = torch.zeros(num_clusters, self.dim, dtype=torch.float64, device=self.device)
        for start, stop in self.source.spans():
            rows = to_grid(self.source.rows(start, stop), self._bits).double()
            sums.index_add_(0, labels[start:stop], rows)
        return sums

    def move(self, sums: Tensor, old: Tensor, new: Tensor) -> None:
        """Turns ``sums`` of old labels (N,) into those of new ones, in place."""
        for moved in (old != new).nonzero().flatten().split(4096):
            rows = to_grid(self.source.take(moved), self._bits).double()
            sums.index_add_(0, old[moved], -rows)
            sums.index_add_(0, new[moved], rows)

    def mean_distance(self, sums: Tensor, counts: Tensor, centroids: Tensor) -> float:
        """Mean of ``|x - c|^2`` from the sums and counts of all processes and centroids (K, D).

        ``sum |x|^2 - 2 sum_k c_k . s_k + sum_k n_k |c_k|^2`` in fp64, so that it does not cancel.
        """
        centroids = centroids.double()
        terms = halving_sum(centroids * (centroids * counts.unsqueeze(1) - 2.0 * sums))
        return max(0.0, (self.squares + float(halving_sum(terms))) / self.num_rows)

    def take(self, indices: Tensor) -> Tensor:
        """Rows (M, D) of the whole matrix, fp32, on every process; collective."""
        start, stop = self.share.start, self.share.stop
        indices = indices.to(self.device)
        own = ((indices >= start) & (indices < stop)).nonzero().flatten()
        rows = torch.zeros(len(indices), self.dim, device=self.device)
        rows[own] = self.source.take(indices[own] - start)
        return self.share.all_reduce(rows)

    def _look(self) -> tuple[float, Tensor, Tensor]:
        """Largest number of all rows; lengths (N,) and sum (D,) of this process's rows."""
        largest, lengths = 0.0, torch.empty(len(self.source), device=self.device)
        total = torch.zeros(self.dim, dtype=torch.float64, device=self.device)
        for start, stop in self.source.spans():
            rows = self.source.rows(start, stop)
            low, high = torch.stack(rows.aminmax()).tolist()
            # NaN is lost by max() of Python, so it is asked for.
            size = max(-low, high)
            largest = max(largest, size if math.isfinite(low + high) else math.inf)
            lengths[start:stop] = rows.norm(dim=1)
            total += rows.sum(dim=0, dtype=torch.float64)
        largest = float(self.share.all_reduce(torch.tensor(largest, device=self.device), "max"))
        if not math.isfinite(largest):
            self._refuse_bad_rows()
        return largest, lengths, total

    def _refuse_bad_rows(self) -> None:
        parts = [
            (~torch.isfinite(self.source.rows(*span)).all(dim=1)) for span in self.source.spans()
        ]
        mask = torch.cat([torch.empty(0, dtype=torch.bool, device=self.device), *parts])
        bad = self.share.gather(mask.to(torch.uint8)).nonzero().flatten()
        raise ValueError(
            f"features hold NaN or infinity in {len(bad)} of {self.num_rows} rows "
            f"(first: {bad[:5].tolist()}); the network has diverged or an input is broken: "
            "lower optim_wrapper.optimizer.lr or look at these samples"
        )

    def _all(self, mask: Tensor) -> bool:
        failed = torch.tensor(0.0 if bool(mask.all()) else 1.0, device=self.device)
        return float(self.share.all_reduce(failed, "max")) == 0.0

    def _sum_of_squares(self) -> float:
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for start, stop in self.source.spans():
            rows = to_grid(self.source.rows(start, stop), self._bits).double()
            total += to_grid(halving_sum(rows.square_()), self._square_bits).sum()
        return float(self.share.all_reduce(total))
