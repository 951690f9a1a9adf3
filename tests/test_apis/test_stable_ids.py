"""Stable ids of clusters, by hand."""

import numpy as np

from mmdeepcluster.apis.stable_ids import match_ids


def ids_of(previous, clusters, k, next_id=0, min_overlap=0.5):
    found = match_ids(np.array(previous), np.array(clusters), k, next_id, min_overlap)
    return found.ids.tolist(), found


def test_renamed_clusters_keep_their_ids():
    ids, found = ids_of([7, 7, 3, 3, 9, 9], [2, 2, 0, 0, 1, 1], 3)
    assert ids == [3, 9, 7]
    assert (found.num_matched, found.num_retired, found.next_id) == (3, 0, 10)


def test_of_a_cluster_that_splits_the_larger_part_keeps_the_id():
    ids, found = ids_of([4] * 5 + [6] * 2, [0, 0, 1, 1, 1, 2, 2], 3)
    assert ids == [7, 4, 6]  # 7 was never given
    assert (found.num_matched, found.next_id) == (2, 8)


def test_ids_that_ended_are_not_given_again():
    ids, found = ids_of([0, 0, 0, 1, 1], [0, 0, 0, 0, 0], 2, next_id=30)
    assert ids == [0, 30] and found.num_retired == 1 and found.next_id == 31


def test_few_images_in_common_are_no_match():
    # of two clusters of eight images each, two groups of six and ten
    before, now = [5] * 8 + [6] * 8, ([0] * 5 + [1] * 3) + ([0] * 1 + [1] * 7)
    assert ids_of(before, now, 2)[0] == [5, 6]  # 5 of 6 and 7 of 8 in common
    ids, found = ids_of(before, now, 2, min_overlap=0.85)
    assert ids == [7, 6] and found.num_matched == found.num_retired == 1
    assert ids_of(before, now, 2, min_overlap=0.9)[0] == [7, 8]


def test_unknown_images_do_not_count():
    ids, found = ids_of([-1, -1, -1, 2], [0, 0, 0, 1], 2)
    assert ids == [3, 2] and found.num_common == 1
