"""Maps by t-SNE and UMAP (R33)."""

import importlib.util

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_info, threadpool_limits

from mmdeepcluster.visualization import embed_2d

METHODS = [
    "tsne",
    pytest.param(
        "umap",
        marks=[
            pytest.mark.slow,  # numba compiles for half a minute
            pytest.mark.skipif(
                importlib.util.find_spec("umap") is None, reason="umap-learn is not installed"
            ),
        ],
    ),
]


def blobs(per_group=40, dims=20):
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (3, dims))
    groups = np.arange(3).repeat(per_group)
    points = centres[groups] + rng.normal(0, 1, (len(groups), dims))
    return points.astype(np.float32), groups


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_stay_neighbours_r33(method):
    points, groups = blobs()
    positions = embed_2d(points, method, seed=1)
    assert positions.shape == (120, 2) and positions.dtype == np.float32
    # the nearest other point in the plane is of the same group, and often the same point
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (groups[distance.argmin(axis=1)] == groups).all()
    shuffled = np.random.default_rng(1).permutation(positions)
    assert trustworthiness(points, positions) > 0.9 > 0.6 > trustworthiness(points, shuffled)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_map_r33(method):
    points, _ = blobs()
    first = embed_2d(points, method, seed=2**62 + 1)
    assert np.array_equal(embed_2d(points, method, seed=2**62 + 1), first)


def test_one_thread_computes(monkeypatch):
    seen = []

    class Spy:
        def fit_transform(self, features):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return features[:, :2]

    monkeypatch.setattr("mmdeepcluster.visualization.embedding._mapper", lambda *_: Spy())
    with threadpool_limits(limits=2):
        assert 2 in [pool["num_threads"] for pool in threadpool_info()]
        embed_2d(blobs()[0])
    assert set(seen) == {1}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [4, 5, 15, 16, 17, 31])
def test_few_points_r33(method, number):
    points = np.random.default_rng(number).normal(size=(number, 6)).astype(np.float32)
    positions = embed_2d(points, method)
    assert positions.shape == (number, 2) and np.isfinite(positions).all()


@pytest.mark.parametrize(
    ("number", "perplexity"), [(4, 1.0), (31, 10.0), (91, 30.0), (92, 30.0), (5000, 30.0)]
)
def test_perplexity_of_few_points(number, perplexity):
    from mmdeepcluster.visualization.embedding import _mapper

    assert _mapper("tsne", number, 0).perplexity == perplexity


@pytest.mark.parametrize(
    ("points", "method", "message"),
    [
        (np.eye(3), "tsne", r"at least 4 points of 2 dimensions, got 3 of 3"),
        (np.arange(9.0)[:, None], "tsne", r"at least 4 points of 2 dimensions, got 9 of 1"),
        (np.ones((9, 3)), "tsne", r"all 9 points are the same"),
        (np.eye(9), "pca", r"method must be one of tsne, umap, got 'pca'"),
    ],
)
def test_what_cannot_be_mapped(points, method, message):
    with pytest.raises(ValueError, match=message):
        embed_2d(points, method)


def test_umap_is_an_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package umap-learn: pip install umap-learn"):
        embed_2d(np.eye(9), "umap")
