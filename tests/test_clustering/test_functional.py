"""Nearest centroids against brute force in fp64: same winner, lowest index on ties."""

import numpy as np
import pytest
import torch

from mmdeepcluster.clustering import nearest_centroid

METRICS = ["l2", "dot"]
# Shapes on both sides of the tiles on a CPU (512 rows for 5120 centroids).
SHAPES = [
    (1, 1),
    (1, 3000),
    (3000, 1),
    (2, 2),
    (511, 5121),
    (513, 5120),
    (1025, 6000),
    (3000, 3000),
]


def brute_scores(features, centroids, metric, allowed):
    features, centroids = features.double().numpy(), centroids.double().numpy()
    scores = features @ centroids.T
    if metric == "l2":
        scores = 2 * scores - (centroids**2).sum(axis=1)
    if allowed is not None:
        scores[:, ~allowed.numpy()] = -np.inf
    return scores


def mask(num_clusters, generator, masked):
    if not masked:
        return None
    allowed = torch.rand(num_clusters, generator=generator) < 0.5
    allowed[-1] = True  # one at least
    return allowed


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_ties_go_to_the_lowest_index(shape, metric, masked):
    # Small integers: every score is exact in fp32, and nearly every row has ties.
    generator = torch.Generator().manual_seed(sum(shape))
    features = torch.randint(-2, 3, (shape[0], 3), generator=generator).float()
    centroids = torch.randint(-2, 3, (shape[1], 3), generator=generator).float()
    allowed = mask(shape[1], generator, masked)
    truth = brute_scores(features, centroids, metric, allowed).argmax(axis=1)
    nearest = nearest_centroid(features, centroids, metric, allowed)
    assert nearest.dtype == torch.int64
    assert nearest.tolist() == truth.tolist()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_random_rows_agree_with_fp64(shape, metric, masked):
    generator = torch.Generator().manual_seed(sum(shape) + 1)
    features = torch.nn.functional.normalize(torch.randn(shape[0], 64, generator=generator))
    centroids = torch.randn(shape[1], 64, generator=generator) / 8
    allowed = mask(shape[1], generator, masked)
    scores = brute_scores(features, centroids, metric, allowed)
    nearest = nearest_centroid(features, centroids, metric, allowed).numpy()
    rows = np.arange(len(scores))
    lost = scores.max(axis=1) - scores[rows, nearest]
    assert lost.max() < 1e-6  # fp32 cannot tell more
    if shape[1] > 1:
        top = np.partition(scores, -2, axis=1)[:, -2:]
        clear = top[:, 1] - top[:, 0] > 1e-6
        assert clear.mean() > 0.99
        assert np.array_equal(nearest[clear], scores.argmax(axis=1)[clear])


@pytest.mark.parametrize("num_rows", [1, 3, 600])
@pytest.mark.parametrize("dim", [7, 256, 2048])
def test_equal_centroids_tie_wherever_they_stand(dim, num_rows):
    # Integers again, so that no order of summation tells equal centroids apart.
    generator = torch.Generator().manual_seed(dim)
    centroids = torch.randint(-2, 3, (5130, dim), generator=generator).float()
    centroids[[-1, 2565, 1023]] = centroids[3].clone()
    features = centroids[3].repeat(num_rows, 1)
    first = int((centroids == centroids[3]).all(dim=1).nonzero()[0])
    assert set(nearest_centroid(features, centroids).tolist()) == {first}


def test_gradients_and_half_precision_are_taken_as_they_come():
    features = torch.randn(5, 4, requires_grad=True)
    centroids = torch.randn(3, 4, requires_grad=True)
    nearest = nearest_centroid(features, centroids)
    assert not nearest.requires_grad
    half = features.detach().half(), centroids.detach().half()
    assert torch.equal(nearest_centroid(*half), nearest_centroid(*(x.float() for x in half)))


def test_no_rows():
    assert nearest_centroid(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0,)


def test_a_row_with_nan_changes_no_other_row():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 8, generator=generator)
    centroids = torch.randn(11000, 8, generator=generator)
    clean = nearest_centroid(features, centroids)
    features[7] = torch.nan
    nearest = nearest_centroid(features, centroids)
    assert nearest[7] == 0
    nearest[7] = clean[7]
    assert torch.equal(nearest, clean)
