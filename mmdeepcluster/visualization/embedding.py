"""Maps of features in two dimensions."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

EMBEDDINGS = ("tsne", "umap")
# Fewer points have no neighbourhood: t-SNE's perplexity would fall below 1.
MIN_POINTS = 4
_PERPLEXITY = 30.0
_NUM_NEIGHBORS = 15


def check_embedding(method: str) -> None:
    """Raises ``ValueError`` for an unknown method, or one whose package is not installed."""
    if method not in EMBEDDINGS:
        raise ValueError(f"method must be one of {', '.join(EMBEDDINGS)}, got {method!r}")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise ValueError(
            "method 'umap' needs the package umap-learn: pip install umap-learn, or take 'tsne'"
        )


def embed_2d(features: NDArray[Any], method: str = "tsne", seed: int = 0) -> NDArray[np.float32]:
    """Places points in a plane so that neighbours stay neighbours.

    Distances are Euclidean, between the features as they are. t-SNE [0] is scikit-learn's, which
    starts from the first two principal components, with perplexity 30 or, of fewer than 91 points,
    (n - 1) / 3, since 3 * perplexity neighbours are looked at. UMAP [1] is umap-learn's, with
    n_neighbors 15 or, of fewer than 16 points, n - 1. One thread computes, so that a map
    does not depend on the number of cores.

    - [0]: van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008.
    - [1]: McInnes et al., UMAP: Uniform Manifold Approximation and Projection, arXiv 1802.03426.

    Args:
        features: Points (n, D), n >= 4, D >= 2.
        method: ``tsne`` or ``umap``.
        seed: The same seed gives the same map. Defaults to 0.

    Returns:
        Positions (n, 2), fp32.

    Raises:
        ValueError: For an unknown method, one that is not installed, too few points or dimensions,
            or points that are all the same.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    check_embedding(method)
    number, width = features.shape
    if number < MIN_POINTS or width < 2:
        raise ValueError(
            f"a map needs at least {MIN_POINTS} points of 2 dimensions, got {number} of {width}"
        )
    if not (features != features[:1]).any():
        raise ValueError(f"all {number} points are the same: there is nothing to map")
    with threadpool_limits(limits=1):
        positions = _mapper(method, number, seed % 2**32).fit_transform(features)
    return np.asarray(positions, dtype=np.float32)


def _mapper(method: str, number: int, seed: int) -> Any:
    """An estimator of scikit-learn's kind."""
    if method == "umap":
        from umap import UMAP

        # umap-learn's spectral start needs more points than it computes eigenvectors for
        start = "spectral" if number > _NUM_NEIGHBORS else "random"
        neighbors = min(_NUM_NEIGHBORS, number - 1)
        return UMAP(n_neighbors=neighbors, init=start, random_state=seed, n_jobs=1)
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (number - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
