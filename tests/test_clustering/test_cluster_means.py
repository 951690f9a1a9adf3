"""Means and assignments that W processes share have the bits of one (DESIGN 5)."""

import pytest
import torch

from mmdeepcluster.clustering import Assigner, RowShare
from mmdeepcluster.clustering.cluster_means import cluster_means
from mmdeepcluster.clustering.covariance import full_fp32
from mmdeepcluster.clustering.functional import scores
from mmdeepcluster.clustering.row_share import ROW_TILE

N, D, K = 2 * ROW_TILE + 300, 24, 7


def rows(scale=1.0):
    return scale * torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def labels():
    return torch.randint(K, (N,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_means_are_those_of_fp64(scale):
    means = cluster_means(rows(scale), labels(), K)
    expected = torch.stack([rows(scale).double()[labels() == k].mean(dim=0) for k in range(K)])
    torch.testing.assert_close(means.double(), expected, rtol=1e-6, atol=1e-9 * scale)


def test_order_does_not_matter():
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    shuffled = cluster_means(rows()[order], labels()[order], K)
    assert torch.equal(shuffled, cluster_means(rows(), labels(), K))


def test_refusals():
    with pytest.raises(ValueError, match="1 of 8 clusters are empty"):
        cluster_means(rows(), labels(), K + 1)
    with pytest.raises(ValueError, match=f"expected {N} labels, got "):
        cluster_means(rows(), labels()[1:], K)


@pytest.mark.parametrize("at_once", [1 << 28, 40 * 300])
@pytest.mark.parametrize("world_size", [2, 3, 4, 5])
def test_shares_are_assigned_as_the_whole(monkeypatch, world_size, at_once):
    # 300 centroids are compared with 1024 or, of what fits, 32 rows at once
    monkeypatch.setattr("mmdeepcluster.clustering.assigner._MOST_SCORES", at_once)
    generator = torch.Generator().manual_seed(3)
    assigner = Assigner(
        torch.randn(300, 12, generator=generator),
        mean=torch.randn(D, generator=generator),
        projection=torch.randn(D, 12, generator=generator),
    )
    whole = assigner.assign(rows())
    shares = [RowShare(N, rank, world_size) for rank in range(world_size)]
    parts = [assigner.assign(rows()[share.start : share.stop]) for share in shares]
    assert any(len(share) == 0 for share in shares) == (world_size > 3)
    for name in whole._fields:
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(whole, name)), name
    with full_fp32():
        brute = scores(assigner.transform(rows()).double(), assigner.centroids.double(), "l2")
    assert float((brute.argmax(dim=1) == whole.cluster).double().mean()) > 0.999
