import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from mmdeepcluster.evaluation import (
    COST_LISTS,
    best_cost,
    check_svm_training,
    cross_validate,
    fit_and_test,
    interpolated_average_precision,
    normalize_rows,
    svm_id,
)
from mmdeepcluster.evaluation.svm import training_targets


def noisy(num_rows, seed, shift=0.6):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(num_rows) < 0.3, 1, -1)
    rows = rng.normal(size=(num_rows, 8)) + shift * (labels == 1)[:, None]
    return normalize_rows(rows), labels


def test_published_costs_r64():
    oss, fair = COST_LISTS["openselfsup"], COST_LISTS["fair"]
    assert len(oss) == 19 and {1.0, 10.0, 100.0, 0.5**4, 0.5**19} <= set(oss)
    assert len(fair) == 26 and fair[0] == pytest.approx(1e-7) and fair[-1] == 100.0
    assert svm_id("openselfsup") != svm_id("fair")


def test_rows_are_divided_by_their_length_plus_1e_5():
    rows = normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[3 / 5.00001, 4 / 5.00001], [0, 0]], rtol=1e-6)


def test_a_difficult_image_is_negative_in_training_r64():
    assert training_targets([1, 0, -1]).tolist() == [1, -1, -1]


def test_a_difficult_image_is_left_out_of_the_test_r64():
    rows, labels = noisy(120, 0)
    test, truth = noisy(80, 1)
    hidden = truth.copy()
    hidden[:20] = 0
    found = fit_and_test(rows, labels, [(test, hidden), (test[20:], truth[20:])], 1.0)
    assert found[0] == found[1]
    assert found[0] != fit_and_test(rows, labels, [(test, truth)], 1.0)[0]


def test_agrees_with_sklearn_r64():
    rows, labels = noisy(150, 2)
    test, truth = noisy(100, 3)
    machine = LinearSVC(
        C=10, class_weight={1: 2, -1: 1}, loss="squared_hinge", max_iter=2000, random_state=0
    )
    folds = []
    for train, held in StratifiedKFold(3).split(rows, labels):
        machine.fit(rows[train], labels[train])
        folds.append(
            average_precision_score(labels[held] == 1, machine.decision_function(rows[held]))
        )
    assert cross_validate(rows, labels, 10.0).value == pytest.approx(np.mean(folds))
    scores = machine.fit(rows, labels).decision_function(test)
    expected = interpolated_average_precision(truth == 1, scores)
    assert fit_and_test(rows, labels, [(test, truth)], 10.0)[0].value == pytest.approx(expected)


def test_separable_classes_have_ap_1_r64():
    rows, labels = noisy(100, 4, shift=20)
    assert fit_and_test(rows, labels, [noisy(60, 5, shift=20)], 1.0)[0].value == 1.0


def test_no_convergence_is_reported_not_shown():
    rows, labels = noisy(400, 6, shift=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cross_validate(rows, labels, 1e6).converged
        assert cross_validate(rows, labels, 1e-3).converged


def test_the_best_cost_is_the_smallest_of_equals():
    assert best_cost({10.0: 0.5, 1.0: 0.5, 0.1: 0.2}) == 1.0
    with pytest.raises(ValueError, match="no cost"):
        best_cost({})


def test_too_few_images_for_three_folds():
    with pytest.raises(ValueError, match="'bus' has 2 positive and 5 negative"):
        check_svm_training(np.array([1, 1, -1, -1, -1, -1, -1]), "bus")
