"""The split of a cluster in two (R46)."""

import pytest
import torch

from mmdeepcluster.clustering import two_means


def generator():
    return torch.Generator().manual_seed(0)


def test_two_groups_are_found():
    features = torch.tensor([[0.0], [0.1], [0.2], [9.0], [9.1]])
    side = two_means(features, generator())
    assert side.tolist() in ([False] * 3 + [True] * 2, [True] * 3 + [False] * 2)


def test_boundary_moves_when_a_part_is_too_small():
    # 2-means takes the outlier alone; with at least 3 a side the nearest two go with it.
    features = torch.tensor([[0.0], [0.1], [0.2], [0.3], [0.4], [50.0]])
    assert int(two_means(features, generator()).sum()) in (1, 5)
    side = two_means(features, generator(), min_size=3)
    assert side.tolist() in ([False] * 3 + [True] * 3, [True] * 3 + [False] * 3)


def test_equal_rows_are_halved_at_random():
    features = torch.ones(11, 4)
    side = two_means(features, generator(), min_size=5)
    assert int(side.sum()) == 5
    other = two_means(features, torch.Generator().manual_seed(1), min_size=5)
    assert not torch.equal(side, other)
    assert torch.equal(side, two_means(features, generator(), min_size=5))


@pytest.mark.parametrize("min_size", [1, 4, 10])
def test_neither_part_is_too_small(min_size):
    for seed in range(30):
        rng = torch.Generator().manual_seed(seed)
        features = torch.randn(20, 3, generator=rng) * torch.rand(20, 1, generator=rng) ** 3
        size = int(two_means(features, generator(), min_size).sum())
        assert min_size <= size <= 20 - min_size


def test_lowers_the_objective_to_that_of_exhaustive_search():
    features = torch.tensor([[0.0], [1.0], [2.5], [6.0], [7.0], [7.5]])

    def objective(side):
        return sum(
            float((part - part.mean(0)).square().sum())
            for part in (features[side], features[~side])
        )

    best = min(
        objective(torch.tensor([bool(code >> bit & 1) for bit in range(6)]))
        for code in range(1, 63)
    )
    assert objective(two_means(features, generator())) == pytest.approx(best)


def test_too_few_rows():
    with pytest.raises(ValueError, match="cannot split 5 rows into two parts of at least 3"):
        two_means(torch.zeros(5, 2), generator(), min_size=3)
