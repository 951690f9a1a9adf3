"""The bundled digits: real images without a download."""

import numpy as np
import pytest

from mmdeepcluster.datasets import Digits


def test_images_and_labels():
    digits = Digits()
    assert len(digits) == 1797
    assert digits.splits == ("train", "test", "all") and digits.split == "all"
    assert digits.class_names == tuple("0123456789")
    image = digits.load_image(0)
    assert image.mode == "L" and image.size == (8, 8)
    pixels = np.stack([np.asarray(digits.load_image(index)) for index in range(1797)])
    assert pixels.min() == 0 and pixels.max() == 255
    assert len(np.unique(pixels)) == 17
    np.testing.assert_array_equal(digits.eval_labels[:10], range(10))
    assert digits.sample_name(5) == "all/5"


def test_labels_belong_to_the_images():
    """Nearest class mean on pixels: about 0.9 here, 0.1 if labels were out of step."""
    digits = Digits()
    pixels = np.stack([np.asarray(digits.load_image(i)).ravel() for i in range(1797)]).astype(float)
    means = np.stack([pixels[digits.eval_labels == label].mean(0) for label in range(10)])
    nearest = ((pixels[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (nearest == digits.eval_labels).mean() > 0.85


def test_unknown_split():
    with pytest.raises(
        ValueError, match=r"Digits has no split 'val': set dataset\.split .*'train', 'test', 'all'"
    ):
        Digits(split="val")


def test_splits_are_disjoint_and_in_order():
    parts = [Digits("train"), Digits("test")]
    assert [len(part) for part in parts] == [1437, 360]
    whole = Digits("all")
    np.testing.assert_array_equal(
        np.concatenate([part.eval_labels for part in parts]), whole.eval_labels
    )
    last = np.asarray(parts[1].load_image(359))
    np.testing.assert_array_equal(last, np.asarray(whole.load_image(1796)))
    assert len({part.fingerprint() for part in (*parts, whole)}) == 3


def test_fingerprint_is_of_the_pixels():
    assert Digits().fingerprint() == Digits().fingerprint()
