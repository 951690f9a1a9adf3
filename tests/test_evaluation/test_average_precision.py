import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from mmdeepcluster.evaluation import interpolated_average_precision


def test_hand_computed_r64():
    # Ranking + - + - -: precision 1 up to recall 1/2, then 2/3.
    assert interpolated_average_precision([1, 0, 1, 0, 0], [5, 4, 3, 2, 1]) == pytest.approx(
        0.5 * 1 + 0.5 * 2 / 3
    )
    # Ranking - + +: precisions 0, 1/2, 2/3; interpolated, 2/3 holds for all recalls.
    assert interpolated_average_precision([0, 1, 1], [3, 2, 1]) == pytest.approx(2 / 3)
    assert interpolated_average_precision([1, 1, 0], [3, 2, 1]) == 1.0


def test_samples_of_equal_score_come_in_together():
    # One positive among three of the same score: precision 1/3 whatever their order.
    for truth in ([1, 0, 0], [0, 1, 0], [0, 0, 1]):
        assert interpolated_average_precision(truth, [1, 1, 1]) == pytest.approx(1 / 3)


def test_area_under_sklearns_curve_made_monotone():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, scores = rng.integers(0, 2, 60), rng.integers(0, 30, 60) / 7
        precision, recall, _ = precision_recall_curve(truth, scores)
        # sklearn goes from high to low recall
        highest = np.maximum.accumulate(precision[:-1])
        expected = np.sum(-np.diff(recall) * highest)
        assert interpolated_average_precision(truth, scores) == pytest.approx(expected)


def test_no_positive_has_no_value_and_nan_is_refused():
    assert np.isnan(interpolated_average_precision([0, 0], [1, 2]))
    with pytest.raises(ValueError, match="NaN"):
        interpolated_average_precision([0, 1], [1, np.nan])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        interpolated_average_precision([0, 1], [1, 2, 3])
