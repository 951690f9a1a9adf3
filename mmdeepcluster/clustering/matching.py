"""Names the clusters of a new clustering after those of an old one."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import bmat, coo_matrix, identity
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor


def match_clusters(previous: Tensor, current: Tensor, num_clusters: int) -> Tensor:
    """One-to-one matching of new cluster ids to old ones with the largest overlap (Hungarian).

    ``match_clusters(previous, current, K)[current]`` is the new clustering under old names: as many
    samples as possible keep their label, and a head that was trained on the old ones can be kept.

    The table of overlaps has at most N entries that are not 0, and only these are held: seconds
    for 10,000 clusters of 1.28 million samples, where a full table would be 800 MB.

    Args:
        previous: Old cluster of each sample, int64 (N,).
        current: New cluster of each sample, int64 (N,).
        num_clusters: K, of both. Either may have empty clusters.

    Returns:
        Old id of each new id, a permutation of [0, K), int64 (K,), on the device of ``current``.
        New clusters that overlap with none of the old ids left over take these in order.

    Raises:
        ValueError: If the lengths differ or an id is outside [0, K).
    """
    if previous.shape != current.shape or previous.ndim != 1:
        raise ValueError(
            "previous and current must hold one id for each sample (N,), got "
            f"{tuple(previous.shape)} and {tuple(current.shape)}"
        )
    for name, ids in (("previous", previous), ("current", current)):
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < num_clusters:
            raise ValueError(
                f"{name} lies in [{int(ids.min())}, {int(ids.max())}], but there are "
                f"{num_clusters} clusters (model.num_clusters)"
            )
    matched = _largest_matching(previous.cpu().numpy(), current.cpu().numpy(), num_clusters)
    result = np.full(num_clusters, -1, dtype=np.int64)
    result[matched[0]] = matched[1]
    result[result < 0] = np.setdiff1d(np.arange(num_clusters), matched[1])
    return torch.from_numpy(result).to(current.device)


def _largest_matching(
    previous: np.ndarray, current: np.ndarray, num_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """New and old ids of the pairs that overlap in the matching of largest total overlap.

    scipy matches all rows of a sparse table at the least cost or not at all. So each new id gets a
    column and each old id a row of its own, to be matched with where it is left over::

        [ overlaps   I          ]      every full matching has 2K entries of cost c,
        [ I          overlaps.T ]      less the overlaps that it uses

    Entries of the lower right corner cost c without reward; they pair the spare rows and columns of
    ids that are matched.
    """
    shape = (num_clusters, num_clusters)
    ones = np.ones(len(current))
    overlap = coo_matrix((ones, (current, previous)), shape=shape).tocsr()  # adds up duplicates
    cost = overlap.data.max(initial=0.0) + 1.0  # an entry of 0 would count as none
    reward, spare = overlap.copy(), overlap.T.tocsr()
    reward.data = cost - overlap.data
    spare.data = np.full_like(spare.data, cost)
    own = identity(num_clusters, format="csr") * cost
    rows, columns = min_weight_full_bipartite_matching(
        bmat([[reward, own], [own, spare]], format="csr")
    )
    pairs = (rows < num_clusters) & (columns < num_clusters)
    return rows[pairs], columns[pairs]
