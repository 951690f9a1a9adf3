"""Chosen images of several data sets, one data set after the other."""

import numpy as np
import pytest

from mmdeepcluster.datasets import ArrayImageDataset, JoinedImages


def numbers(values):
    images = np.stack([np.full((4, 4), value, np.uint8) for value in values])
    return ArrayImageDataset(images, f"from{values[0]}")


def value(dataset, index):
    return int(np.asarray(dataset.load_image(index))[0, 0])


def test_images_come_in_the_order_of_the_parts():
    joined = JoinedImages(
        [
            (numbers([10, 11, 12]), np.array([2, 0])),
            (numbers([20]), np.array([], dtype=int)),
            (numbers([30, 31]), np.array([1])),
        ]
    )
    assert len(joined) == 3
    assert [value(joined, index) for index in range(3)] == [12, 10, 31]
    assert [joined.sample_name(n) for n in range(3)] == ["from10/2", "from10/0", "from30/1"]
    assert joined.file_path(0) is None and joined.read_file(2) is None
    with pytest.raises(IndexError, match="outside"):
        joined.load_image(3)


def test_identity_follows_the_choice():
    first, second = (
        JoinedImages([(numbers([1, 2, 3]), np.array(rows))]) for rows in ([0, 1], [1, 0])
    )
    assert first.fingerprint() != second.fingerprint()


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(ValueError, match="no images"):
        JoinedImages([(numbers([1]), np.array([], dtype=int))])
    with pytest.raises(IndexError, match="has no images 0 to 5"):
        JoinedImages([(numbers([1, 2]), np.array([0, 5]))])
