import numpy as np
import pytest

from mmdeepcluster.evaluation import (
    draw_low_shot,
    grand_mean,
    low_shot_id,
    read_low_shot_labels,
    summarize_low_shot,
)


@pytest.fixture
def labels():
    return np.array([1] * 10 + [0] * 5 + [-1] * 100)


def test_k_positives_and_19_k_negatives_r65(labels):
    for k in (1, 2, 5):
        rows = draw_low_shot(labels, k, seed=0)
        values = labels[rows]
        assert ((values == 1).sum(), (values == -1).sum(), (values == 0).sum()) == (k, 19 * k, 0)
        assert (np.diff(rows) > 0).all()
    assert np.array_equal(draw_low_shot(labels, 2, 3), draw_low_shot(labels, 2, 3))
    assert not np.array_equal(draw_low_shot(labels, 2, 3), draw_low_shot(labels, 2, 4))


def test_too_few_images_are_refused(labels):
    with pytest.raises(
        ValueError, match="k=11 needs 11 positive images of the class, there are 10"
    ):
        draw_low_shot(labels, 11, 0)
    with pytest.raises(ValueError, match="k=6 needs 114 negative images of the class, there are 1"):
        draw_low_shot(labels, 6, 0)


def test_hand_computed_choice_of_the_cost_r65():
    costs = (0.1, 1.0)
    # (samples, classes, costs): on test the second cost is better, on the rest the first.
    test = np.array([[[0.2, 0.6], [0.4, 0.8]], [[0.3, 0.5], [0.5, 0.7]]])
    rest = np.array([[[0.9, 0.1], [np.nan, np.nan]], [[0.8, 0.2], [0.7, 0.1]]])
    goyal = summarize_low_shot(2, costs, test, rest, "goyal")
    assert goyal.cost == 1.0 and goyal.per_sample == pytest.approx((0.7, 0.6))
    assert goyal.mean_ap == pytest.approx(0.65) and goyal.std == pytest.approx(0.05)
    holdout = summarize_low_shot(2, costs, test, rest, "holdout")
    assert holdout.cost == 0.1 and holdout.mean_ap == pytest.approx(0.35)
    assert grand_mean([goyal, holdout]) == pytest.approx(0.5)
    assert low_shot_id("goyal", "fair") != low_shot_id("holdout", "fair")
    with pytest.raises(ValueError, match="one of"):
        summarize_low_shot(2, costs, test, rest, "cv")
    with pytest.raises(ValueError, match="leaves no positive"):
        summarize_low_shot(2, costs, test, np.full((2, 2, 2), np.nan), "holdout")


def test_published_files_load_r65(tmp_path):
    array = np.array([[1, 0], [-1, 1], [0, -1]], dtype=np.int32)
    np.save(tmp_path / "train_targets_sample1_k4.npy", array)
    np.save(tmp_path / "train_targets_sample2_k4.npy", array[::-1])
    np.save(tmp_path / "all_targets.npy", np.array([7]))
    found = read_low_shot_labels(tmp_path)
    assert set(found) == {(1, 4), (2, 4)}
    np.testing.assert_array_equal(found[1, 4], array)
    np.save(tmp_path / "train_targets_sample3_k4.npy", np.array([[2]]))
    with pytest.raises(ValueError, match="sample3_k4"):
        read_low_shot_labels(tmp_path)
    with pytest.raises(FileNotFoundError, match="sample<s>_k<k>"):
        read_low_shot_labels(tmp_path / "nowhere")
