import os
from pathlib import Path

import numpy as np
import pytest

from mmdeepcluster.evaluation import read_voc_labels, voc_image_names


@pytest.fixture
def voc(tmp_path):
    """Two classes, two splits; image c is difficult for dogs."""
    main = tmp_path / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "dog_trainval.txt").write_text("a  1\nb -1\nc  0\n")
    (main / "cat_trainval.txt").write_text("a -1\nb  1\nc  1\n\n")
    (main / "dog_test.txt").write_text("d 1\n")
    (main / "trainval.txt").write_text("a\nb\nc\n")
    return tmp_path


def test_labels_are_those_of_the_files_r64(voc):
    found = read_voc_labels(voc, "trainval")
    assert (found.ids, found.classes) == (("a", "b", "c"), ("cat", "dog"))
    np.testing.assert_array_equal(found.labels, [[-1, 1], [1, -1], [1, 0]])
    assert found.counts() == {"cat": 2, "dog": 1}
    assert found.only(["dog"]).labels.tolist() == [[1], [-1], [0]]
    with pytest.raises(ValueError, match=r"\['bird'\].*\['cat', 'dog'\]"):
        found.only(["bird"])


def test_what_is_missing_is_named(voc):
    with pytest.raises(FileNotFoundError, match=r"no split 'val', it has \['test', 'trainval'\]"):
        read_voc_labels(voc, "val")
    with pytest.raises(FileNotFoundError, match="not in VOC's format"):
        read_voc_labels(voc / "ImageSets", "val")
    with pytest.raises(FileNotFoundError, match=r"lacks 3 of 3 images, such as \['a'"):
        voc_image_names(read_voc_labels(voc, "trainval"), voc)


def test_bad_lines_are_named(voc):
    main = voc / "ImageSets" / "Main"
    (main / "dog_trainval.txt").write_text("a 1\nb 2\nc 0\n")
    with pytest.raises(ValueError, match="line 2: 'b 2'"):
        read_voc_labels(voc, "trainval")
    (main / "dog_trainval.txt").write_text("a 1\nc 1\nb 1\n")
    with pytest.raises(ValueError, match=r"dog_trainval\.txt names other images than cat"):
        read_voc_labels(voc, "trainval")


@pytest.mark.skipif(
    "MMDEEPCLUSTER_DATA" not in os.environ, reason="MMDEEPCLUSTER_DATA names no folder of real sets"
)
def test_the_animals_of_voc2012():
    root = Path(os.environ["MMDEEPCLUSTER_DATA"]) / "voc2012_animals"
    halves = [read_voc_labels(root, half) for half in "AB"]
    assert [len(half.ids) for half in halves] == [450, 450]
    totals = {
        name: halves[0].counts()[name] + halves[1].counts()[name] for name in halves[0].classes
    }
    # From the README of the data.
    assert (totals["person"], totals["dog"], totals["diningtable"], totals["bus"]) == (
        486,
        378,
        20,
        2,
    )
    assert sum(count >= 20 for count in totals.values()) == 13
    assert voc_image_names(halves[0], root)[0].startswith("JPEGImages/")
