import numpy as np
import pytest

from mmdeepcluster.evaluation import FINETUNE_PROTOCOLS, stratified_subset


def test_a_seeded_share_of_each_class_r68():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    rows = stratified_subset(labels, 0.1, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10, 5, 1]  # at least one
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, stratified_subset(labels, 0.1, seed=0))
    assert not np.array_equal(rows, stratified_subset(labels, 0.1, seed=1))
    assert len(stratified_subset(labels, 1.0, 0)) == len(labels)
    with pytest.raises(ValueError, match="fraction"):
        stratified_subset(labels, 0.0, 0)


def test_published_rates_r68():
    one, ten = FINETUNE_PROTOCOLS["semi-1"], FINETUNE_PROTOCOLS["semi-10"]
    assert (one.fraction, one.lr, one.head_lr) == (0.01, 0.02, 5.0)
    assert (ten.fraction, ten.lr, ten.head_lr, ten.epochs) == (0.1, 0.01, 0.2, 20)
    assert [ten.factor(e) for e in (0, 11, 12, 16)] == pytest.approx([1, 1, 0.1, 0.01])
    shorter = ten.changed(epochs=10, batch_size=32)
    assert shorter.steps == (6, 8) and "e10" in shorter.id and "b32" in shorter.id
    with pytest.raises(ValueError, match="lr of a fine-tuning"):
        ten.changed(lr=0.0)
