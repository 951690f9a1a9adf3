"""Pictures of units: filters, top images, receptive places."""

import numpy as np
import pytest

from mmdeepcluster.visualization.unit_pictures import (
    Place,
    filter_pictures,
    filter_sheet,
    liveliest,
    place_of,
    shown_place,
    top_images,
)


def test_place_of_a_gradient():
    gradient = np.zeros((3, 8, 9))
    assert place_of(gradient) is None
    gradient[0, 2, 3] = 1e-30
    gradient[2, 5, 1] = -1.0
    assert place_of(gradient) == Place(2, 6, 1, 4)


def test_top_images_and_liveliest_units():
    activations = np.array([[0.0, 5.0, 1.0], [2.0, 5.0, 9.0], [2.0, 5.0, 1.0], [1.0, 5.0, 1.0]])
    assert top_images(activations[:, 0], 3).tolist() == [1, 2, 3]
    assert top_images(activations[:, 2], 9).tolist() == [1, 0, 2, 3]
    assert liveliest(activations, 2) == [0, 2]


def test_filters_are_scaled_one_by_one_around_grey():
    weights = np.zeros((2, 3, 2, 2))
    weights[0, 0, 0, 0], weights[0, 1, 1, 1] = 0.5, -0.25
    weights[1] = 1e-4
    first, second = filter_pictures(weights)
    assert first[0, 0].tolist() == [255, 128, 128] and first[1, 1].tolist() == [128, 64, 128]
    assert (second == 255).all()
    assert filter_sheet([first, second], side=10).shape == (14, 26, 3)
    assert (filter_pictures(np.ones((1, 1, 3, 3)))[0] == 255).all()
    with pytest.raises(ValueError, match="1 or 3 channels"):
        filter_pictures(np.ones((1, 2, 3, 3)))


def test_small_places_are_cut_out_and_large_ones_marked():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[4:8, 30:34] = 200
    cut = shown_place(picture, Place(4, 8, 30, 34), side=20)
    assert cut.shape == (20, 20, 3) and (cut == 200).all()
    marked = shown_place(picture, Place(0, 30, 5, 35), side=40)
    assert marked[0, 20].tolist() == [255, 64, 32] and marked[29, 20].tolist() == [255, 64, 32]
    assert marked[35, 20].tolist() == [0, 0, 0] and marked[15, 20].tolist() == [0, 0, 0]
    whole = shown_place(picture, Place(0, 40, 0, 40), side=40)
    assert (whole == picture).all() and (shown_place(picture, None, side=40) == picture).all()


def test_a_place_at_the_border_is_cut_as_a_square():
    picture = np.arange(40 * 40 * 3, dtype=np.uint32).reshape(40, 40, 3).astype(np.uint8)
    assert shown_place(picture, Place(0, 2, 36, 40), side=8).shape == (8, 8, 3)
