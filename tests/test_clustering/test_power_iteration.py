"""Power iteration clustering (R15): the dense definition, hand-made graphs, options."""

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import PowerIterationClustering, l2_normalize
from mmdeepcluster.clustering.neighbors import nearest_neighbors
from mmdeepcluster.clustering.power_iteration import local_maxima, merge_singletons


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def groups(num_samples=120, num_groups=4):
    """Unit rows in four directions with a spread below sigma."""
    labels = torch.arange(num_samples) % num_groups
    spread = 0.05 * torch.randn(num_samples, 8, generator=rng())
    return l2_normalize(torch.eye(num_groups, 8)[labels] + spread), labels


@pytest.mark.parametrize("num_tiles", [1, 7])
@pytest.mark.parametrize("num_rows", [50, 1000])
def test_neighbors_are_brute_force(monkeypatch, num_tiles, num_rows):
    import mmdeepcluster.clustering.neighbors as neighbors

    monkeypatch.setattr(neighbors, "tile_rows", lambda _: -(-num_rows // num_tiles))
    rows = torch.randn(num_rows, 5, generator=rng())
    found, distances = nearest_neighbors(rows, 4)
    brute = torch.cdist(rows.double(), rows.double()).square()
    expected = brute.fill_diagonal_(torch.inf).sort(dim=1)
    assert torch.equal(found, expected.indices[:, :4])
    torch.testing.assert_close(distances.double(), expected.values[:, :4], rtol=1e-5, atol=0)


def test_a_row_is_no_neighbor_of_itself_among_equal_rows():
    found, distances = nearest_neighbors(torch.ones(6, 3), 5)
    assert all(sorted([*row, i]) == list(range(6)) for i, row in enumerate(found.tolist()))
    assert torch.equal(distances, torch.zeros(6, 5))


def dense_reference(features, k, sigma, alpha, num_iters):
    """arXiv 1807.05520, appendix, on full matrices: the maximum that each sample reaches."""
    x = features.double().numpy()
    square = ((x[:, None] - x[None]) ** 2).sum(-1)
    np.fill_diagonal(square, np.inf)
    g = np.zeros_like(square)
    for i, row in enumerate(square):
        nearest = np.argsort(row)[:k]
        g[i, nearest] = np.exp(-row[nearest] / sigma**2)
    v = np.full(len(x), 1 / len(x))
    for _ in range(num_iters):
        v = alpha * (g + g.T) @ v + (1 - alpha) * v
        v /= np.abs(v).sum()
    reached = []
    for i in range(len(x)):
        while True:
            rise = g[i] * (v - v[i])
            if rise.max() <= 0:
                break
            i = int(rise.argmax())
        reached.append(i)
    return np.array(reached)


def test_without_a_number_it_is_the_definition():
    features, labels = groups()
    result = PowerIterationClustering().fit(features, seed=0)
    reached = dense_reference(features, 5, 0.2, 0.001, 200)
    reached = np.unique(reached, return_inverse=True)[1]
    assert np.bincount(reached).min() >= 2  # no singletons here, so nothing was merged
    np.testing.assert_array_equal(result.assignments.numpy(), reached)
    # Each cluster lies in one group; the number is that of the graph.
    assert 4 <= result.num_clusters < 40
    for cluster in range(result.num_clusters):
        assert len(labels[result.assignments == cluster].unique()) == 1


def test_alpha_and_sigma_matter():
    features, _ = groups()
    base = PowerIterationClustering().fit(features, 0).num_clusters
    assert PowerIterationClustering(sigma=0.02).fit(features, 0).num_clusters > base
    assert PowerIterationClustering(alpha=0.2).fit(features, 0).num_clusters < base


def test_local_maxima_by_hand():
    # 0 -> 1 -> 2, and 3 -> 4; the steepest edge of 1 is the heavier one to 2, not that to 4.
    v = np.array([0.1, 0.2, 0.4, 0.1, 0.5])
    neighbors = np.array([[1, 3], [4, 2], [1, 0], [4, 0], [3, 1]])
    weights = np.array([[1, 1], [0.1, 1], [1, 1], [1, 1], [1, 1]])
    assert local_maxima(v, neighbors, weights).tolist() == [2, 2, 2, 4, 4]


def test_singletons_join_by_hand():
    # 2 and 3 are alone: 2 has a neighbour in a cluster, 3 only 2, so it follows a round later.
    # 4 and 5 are alone and know each other only, so they stay alone.
    labels = np.array([9, 9, 2, 3, 4, 5])
    neighbors = np.array([[1], [0], [0], [2], [5], [4]])
    assert merge_singletons(labels, neighbors).tolist() == [2, 2, 2, 2, 0, 1]
    two = np.array([[1, 2], [0, 2], [3, 1], [2, 0], [5, 3], [4, 3]])
    assert merge_singletons(labels, two).tolist() == [0] * 6


def test_with_a_number_it_stops_early_and_needs_the_graph():
    features, labels = groups()
    result = PowerIterationClustering(4).fit(features, 0)
    assert result.num_clusters == 4 and result.num_iters < 200
    assert PowerIterationClustering(4, num_iters=3).fit(features, 0).num_iters == 3
    for cluster in range(4):
        assert len(labels[result.assignments == cluster].unique()) == 1


def test_weights_that_underflow_do_no_harm():
    # sigma = 0.2 on rows hundreds apart: every weight is exp(-1e6) = 0 in fp64
    features, _ = groups()
    result = PowerIterationClustering(4).fit(features * 1000, 0)
    assert torch.isfinite(result.centroids).all() and result.num_clusters == 4


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"alpha .* only where num_clusters is None"):
        PowerIterationClustering(5, alpha=0.1)
    with pytest.raises(ValueError, match="less than the number of samples, got 5 and 4 samples"):
        PowerIterationClustering(2).fit(torch.randn(4, 2), 0)
    for options in ({"sigma": 0.0}, {"alpha": 2.0}, {"num_neighbors": 0}, {"num_iters": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            PowerIterationClustering(**options)
