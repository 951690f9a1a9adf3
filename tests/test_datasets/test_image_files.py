"""Names are kept in two buffers, so that data workers share them."""

import pickle

import pytest

from mmdeepcluster.datasets.packed_strings import PackedStrings

NAMES = ["a.png", "", "k\u00e4tzchen/\u732b.png", "bad\udcff.png", "z" * 500]


def test_packed_strings_behave_as_a_list():
    packed = PackedStrings(NAMES)
    assert list(packed) == NAMES
    assert len(packed) == 5
    assert packed[-1] == NAMES[-1] and packed[-5] == NAMES[0]
    assert packed[1:4] == NAMES[1:4]
    assert list(pickle.loads(pickle.dumps(packed))) == NAMES


@pytest.mark.parametrize("index", [5, -6])
def test_packed_strings_have_an_end(index):
    with pytest.raises(IndexError):
        PackedStrings(NAMES)[index]


def test_no_strings():
    assert list(PackedStrings([])) == []
