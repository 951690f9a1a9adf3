"""R52, R53: seeded parts of labelled data sets."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from mmdeepcluster.datasets import (
    ArrayImageDataset,
    ClassSubset,
    Digits,
    LongTailSubset,
    long_tail_sizes,
)
from mmdeepcluster.engine import ConfigError, load_config, resolve_config
from mmdeepcluster.engine.build import heldout_dataset
from mmdeepcluster.engine.config_schema import check_config
from mmdeepcluster.registry import DATASETS

DIGITS = Path(__file__).parents[2] / "configs" / "odc" / "odc_lenet5_digits.py"


def labelled(sizes, seed=0, names=None):
    """Images of 1x2 pixels that hold index and class, in random order."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    images = np.stack([np.arange(len(labels)) % 256, labels % 256], 1)[:, None].astype(np.uint8)
    return ArrayImageDataset(images, "train", labels, names)


class TestClassSubset:
    def test_the_papers_numbers(self):
        # 1000 classes as large as those of ImageNet, 732 to 1300 images
        whole = labelled(np.random.default_rng(1).integers(732, 1301, 1000))
        part = ClassSubset(whole, num_classes=300, num_images=90_000, seed=3)
        assert len(part) == 90_000 and len(part.classes) == 300
        assert set(np.bincount(part.eval_labels)) == {300}
        assert np.all(np.diff(part.indices) > 0)  # each image once, in the order of the data set
        assert np.array_equal(part.classes[part.eval_labels], whole.eval_labels[part.indices])

    def test_image_label_and_name_belong_together(self):
        names = tuple("abcdef")
        whole = labelled([9] * 6, names=names)
        part = ClassSubset(whole, num_classes=4, num_images=10, seed=0)
        assert sorted(np.bincount(part.eval_labels)) == [2, 2, 3, 3]
        for i in range(len(part)):
            index, label = np.asarray(part.load_image(i))[0]
            assert index == part.indices[i] and label == whole.eval_labels[index]
            assert part.sample_name(i) == f"train/{index}"
            assert part.class_names[part.eval_labels[i]] == names[label]

    def test_seeded(self):
        whole = labelled([20] * 12)
        parts = [ClassSubset(whole, 5, 40, seed) for seed in (0, 0, 1)]
        assert parts[0].fingerprint() == parts[1].fingerprint() != parts[2].fingerprint()
        assert not np.array_equal(parts[0].classes, parts[2].classes)
        copy = pickle.loads(pickle.dumps(parts[0]))  # as a data worker gets it
        assert np.array_equal(copy.indices, parts[0].indices)

    def test_refusals(self):
        whole = labelled([20, 3, 20])
        with pytest.raises(ValueError, match=r"class 1 has 3 images, .*num_images=30.*takes 10"):
            ClassSubset(whole, 3, 30)
        with pytest.raises(ValueError, match=r"num_classes=4 must be from 1 to the 3 classes"):
            ClassSubset(whole, 4, 30)
        with pytest.raises(ValueError, match="less than one image for each"):
            ClassSubset(whole, 3, 2)
        whole.eval_labels = None
        with pytest.raises(ValueError, match="no known classes to choose by"):
            ClassSubset(whole, 3, 3)


class TestLongTail:
    @pytest.mark.parametrize("ratio", [1, 2, 4, 8, 16, 32, 64])
    def test_the_papers_numbers(self, ratio):
        # R53: total 100,000 +- 300, ratio +- 5 %; here the total is exact
        sizes = long_tail_sizes(300, 100_000, ratio)
        assert sizes.sum() == 100_000 and np.all(np.diff(sizes) <= 0)
        assert sizes[0] / sizes[-1] == pytest.approx(ratio, rel=0.05)
        profile = ratio ** (-np.arange(300) / 299)
        np.testing.assert_allclose(sizes, 100_000 * profile / profile.sum(), atol=1)

    def test_by_hand(self):
        # 4, 2, 1 of 7
        assert long_tail_sizes(3, 70, 4).tolist() == [40, 20, 10]
        assert long_tail_sizes(3, 8, 4).tolist() == [5, 2, 1]  # 4.57, 2.29, 1.14
        assert long_tail_sizes(1, 5, 1).tolist() == [5]

    def test_sizes_order_and_seed(self):
        whole = labelled([400] * 30)
        parts = [LongTailSubset(whole, 20, 1000, 10, seed) for seed in (0, 0, 1)]
        expected = long_tail_sizes(20, 1000, 10)
        for part in parts:
            assert sorted(np.bincount(part.eval_labels), reverse=True) == expected.tolist()
        assert parts[0].fingerprint() == parts[1].fingerprint() != parts[2].fingerprint()
        counts = np.bincount(parts[0].eval_labels)
        assert not np.all(np.diff(counts) <= 0)  # which class is large is not their order

    def test_a_class_that_is_too_small_comes_later(self):
        # the sizes 40, 20, 10 fit one way only
        for seed in range(5):
            part = LongTailSubset(labelled([10, 45, 20]), 3, 70, 4, seed)
            assert np.bincount(part.eval_labels).tolist() == [10, 40, 20]

    def test_refusals(self):
        whole = labelled([30, 30, 30])
        with pytest.raises(
            ValueError, match=r"class of 40 images, the largest .* has 30: .* from 70 to about 52"
        ):
            LongTailSubset(whole, 3, 70, 4)
        assert len(LongTailSubset(whole, 3, 52, 4)) == 52
        with pytest.raises(ValueError, match="without image"):
            long_tail_sizes(10, 20, 1000)
        with pytest.raises(ValueError, match="at least 1"):
            long_tail_sizes(10, 20, 0.5)


class TestFromAConfig:
    CONFIG = {
        "type": "LongTailSubset",
        "dataset": {"type": "Digits", "split": "train"},
        "num_classes": 8,
        "num_images": 500,
        "ratio": 4,
    }

    def test_build_and_held_out_images(self):
        part = DATASETS.build(dict(self.CONFIG))
        assert len(part) == 500 and len(part.class_names) == 8
        test = DATASETS.build({**self.CONFIG, "split": "test"})
        digits = Digits("test")
        assert np.array_equal(test.classes, part.classes) and test.class_names == part.class_names
        assert len(test) == np.isin(digits.eval_labels, part.classes).sum()
        with pytest.raises(ValueError, match="is the split that the part is taken from"):
            DATASETS.build({**self.CONFIG, "split": "train"})

    def test_a_training_config(self):
        cfg = load_config(DIGITS)
        cfg.dataset = dict(self.CONFIG)
        resolved = resolve_config(cfg)
        assert resolved.cfg.model.num_samples == 500
        assert heldout_dataset(resolved).split == "test"
        cfg.dataset.dataset.splt = "train"
        with pytest.raises(ConfigError, match=r"dataset.dataset.splt: .*did you mean 'split'"):
            check_config(cfg)
        cfg = load_config(DIGITS)
        cfg.dataset = {**self.CONFIG, "num_images": 5000}
        with pytest.raises(ConfigError, match=r"lower dataset\.ratio"):
            resolve_config(cfg)
