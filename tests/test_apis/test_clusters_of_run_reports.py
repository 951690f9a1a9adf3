"""Clusters as the run report shows them (R29, R55), counted by hand."""

import numpy as np
import pytest

from mmdeepcluster.apis.run_reports.clusters import (
    cluster_table,
    confusion,
    default_images_per_cluster,
    follow_ids,
)


def test_sheets_show_the_nearest_the_median_and_the_farthest():
    # R55: cluster 0 holds images 0..9, whose distance falls; cluster 1 holds two, cluster 2 none
    clusters = np.array([0] * 10 + [1, 1])
    distances = np.array([*range(10, 0, -1), 5, 3], np.float32)
    table = cluster_table(clusters, distances, None, 3, 6)
    near, middle = table.parts
    assert (near, middle) == (3, 4)
    assert table.sheets[0].tolist() == [9, 8, 7, 4, 1, 0]
    assert table.sheets[1].tolist() == [11, 10, -1, -1, -1, -1]
    assert (table.sheets[2] == -1).all()
    assert table.sizes.tolist() == [10, 2, 0]
    assert table.spreads[:2].tolist() == [5.5, 4.0] and np.isnan(table.spreads[2])
    assert table.purities is None


@pytest.mark.parametrize("size", range(1, 40))
@pytest.mark.parametrize("number", [3, 4, 12])
def test_no_image_is_shown_twice(size, number):
    table = cluster_table(np.zeros(size, int), np.arange(size, dtype=np.float32), None, 1, number)
    shown = table.sheets[0][table.sheets[0] >= 0]
    assert len(shown) == min(size, number) == len(set(shown.tolist()))
    assert shown[0] == 0 and (size <= number or shown[-1] == size - 1)


def test_purity_entropy_and_the_commonest_class():
    # R29: three of class 1 and one of class 0; one pure cluster; one empty
    clusters, classes = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 0, 1, 2, 2])
    table = cluster_table(clusters, None, classes, 3, 3)
    assert table.purities[:2].tolist() == [0.75, 1.0]
    assert table.entropies[0] == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert table.entropies[1] == 0 and np.isnan(table.purities[2])
    assert table.main_classes.tolist() == [1, 2, -1]


def test_ids_follow_the_images():
    first = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    renamed = np.array([2, 2, 2, 0, 0, 0, 1, 1, 1])
    # the third clustering keeps {0,1,2}, and deals the others anew: no half of a cluster is kept
    third = np.array([1, 1, 1, 0, 2, 0, 2, 0, 2])
    ids = follow_ids([first, renamed, third], 3)
    assert ids[0].tolist() == [0, 1, 2]
    assert ids[1].tolist() == [1, 2, 0]
    assert ids[2][1] == 0  # the same images since the first clustering
    followed = ids[2][third]
    assert len(set(followed[:3].tolist())) == 1


def test_confusion_in_hungarian_order():
    # clusters 0 and 2 are mostly class 1, the larger one matches; cluster 1 is class 0
    clusters = np.array([0] * 4 + [1] * 3 + [2] * 3)
    classes = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1])
    found = confusion(clusters, classes, 4, 2)
    assert found.columns.tolist() == [0, 1]
    assert sorted(found.rows.tolist()) == [0, 1, 2]  # the empty one is left out
    assert found.rows[0] == 1 and found.table[0].tolist() == [3, 0]
    assert found.table.sum() == 10 and set(found.rows[1:].tolist()) == {0, 2}


def test_fewer_images_for_many_clusters():
    assert default_images_per_cluster(2) == default_images_per_cluster(1666) == 12
    assert default_images_per_cluster(5000) == 4
    assert default_images_per_cluster(100_000) == 3


def test_five_thousand_clusters():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 5000, 20_000)
    classes = rng.integers(0, 150, 20_000)
    table = cluster_table(clusters, rng.random(20_000, np.float32), classes, 5000, 4)
    assert table.sheets.shape == (5000, 4) and table.sizes.sum() == 20_000
    found = confusion(clusters, classes, 5000, 150)
    assert found.table.shape == (400, 100)
    assert np.bincount(clusters)[found.rows].min() >= np.sort(np.bincount(clusters))[-400]
