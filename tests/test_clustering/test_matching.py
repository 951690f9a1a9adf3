"""New cluster ids matched to old ones: brute force over all permutations, hand-made cases."""

import time
from itertools import permutations

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmdeepcluster.clustering import match_clusters


def rng(seed):
    return torch.Generator().manual_seed(seed)


def kept(previous, current, mapping):
    return int((mapping[current] == previous).sum())


def test_by_hand():
    # New 1 overlaps most with old 1 (3 samples, 2 with old 0), and so does new 0 (2, none with old
    # 0). 1 -> 1 leaves new 0 with nothing: 3. Crosswise it is 2 + 2, more than the greedy choice.
    previous = torch.tensor([1, 1, 0, 0, 1, 1, 1, 2])
    current = torch.tensor([0, 0, 1, 1, 1, 1, 1, 2])
    assert match_clusters(previous, current, 3).tolist() == [1, 0, 2]


@pytest.mark.parametrize("num_clusters", [1, 2, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_is_the_best_of_all_permutations(num_clusters, seed):
    previous = torch.randint(num_clusters, (20,), generator=rng(seed))
    current = torch.randint(num_clusters, (20,), generator=rng(seed + 100))
    mapping = match_clusters(previous, current, num_clusters)
    assert sorted(mapping.tolist()) == list(range(num_clusters))
    best = max(
        kept(previous, current, torch.tensor(order)) for order in permutations(range(num_clusters))
    )
    assert kept(previous, current, mapping) == best


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_is_that_of_the_dense_solver(noise):
    num_clusters, num_samples = 150, 3000
    previous = torch.randint(num_clusters, (num_samples,), generator=rng(0))
    current = torch.randperm(num_clusters, generator=rng(1))[previous]
    redrawn = torch.rand(num_samples, generator=rng(2)) < noise
    drawn = torch.randint(num_clusters, (num_samples,), generator=rng(3))
    current = torch.where(redrawn, drawn, current)
    table = torch.bincount(current * num_clusters + previous, minlength=num_clusters**2)
    table = table.view(num_clusters, num_clusters).numpy()
    best = int(table[linear_sum_assignment(table, maximize=True)].sum())
    assert kept(previous, current, match_clusters(previous, current, num_clusters)) == best


def test_renamed_clusters_get_their_names_back():
    previous = torch.randint(50, (1000,), generator=rng(0))
    renaming = torch.randperm(50, generator=rng(1))
    mapping = match_clusters(previous, renaming[previous], 50)
    assert torch.equal(mapping[renaming], torch.arange(50))


def test_empty_clusters_and_no_samples():
    # Old 0 and 3 and new 1 and 2 are empty: what is left over is taken in order.
    mapping = match_clusters(torch.tensor([1, 2, 2]), torch.tensor([3, 0, 0]), 4)
    assert mapping.tolist() == [2, 0, 3, 1]
    nothing = torch.zeros(0, dtype=torch.int64)
    assert match_clusters(nothing, nothing, 3).tolist() == [0, 1, 2]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        match_clusters(torch.zeros(2).long(), torch.zeros(3).long(), 2)
    with pytest.raises(ValueError, match=r"current lies in \[0, 2\], but there are 2 clusters"):
        match_clusters(torch.tensor([0, 1]), torch.tensor([0, 2]), 2)


@pytest.mark.slow
def test_size_of_imagenet():
    previous = torch.randint(10_000, (1_281_167,), generator=rng(0))
    current = torch.randint(10_000, (1_281_167,), generator=rng(1))
    start = time.perf_counter()
    mapping = match_clusters(previous, current, 10_000)
    assert time.perf_counter() - start < 60
    assert len(mapping.unique()) == 10_000
