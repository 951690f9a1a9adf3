"""Two views of one data set; augmentation that depends on the draw alone (R3, R48)."""

import random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mmdeepcluster.datasets import Digits, Draw, ImageFolder, ImageView
from mmdeepcluster.datasets.base import ArrayImageDataset

TO_TENSOR = dict(type="PILToTensor")
NOISE = [dict(type="RandomAffine", degrees=90, translate=(0.3, 0.3)), TO_TENSOR]


@pytest.fixture(scope="module")
def digits():
    return Digits()


def test_an_item_is_a_tensor_and_its_index(digits):
    view = ImageView(digits, [TO_TENSOR], name="eval_pipeline")
    item = view[3]
    assert set(item) == {"inputs", "sample_idx"}
    assert item["sample_idx"] == 3 and item["inputs"].dtype == torch.uint8
    np.testing.assert_array_equal(item["inputs"][0], np.asarray(digits.load_image(3)))
    assert len(view) == 1797 and view.image_shape == (1, 8, 8)
    assert view.dataset is digits and view.metainfo == {}
    assert view[np.int64(3)]["sample_idx"] == 3


def test_two_views_share_one_data_set(digits):
    train, evaluation = ImageView(digits, NOISE), ImageView(digits, [TO_TENSOR])
    assert train.dataset is evaluation.dataset
    assert not torch.equal(train[Draw(0, 1)]["inputs"], evaluation[0]["inputs"])


def test_repr_lists_the_transforms(digits):
    text = repr(ImageView(digits, NOISE, name="train_pipeline"))
    for part in ("Digits(1797 images", "train_pipeline", "RandomAffine", "PILToTensor"):
        assert part in text


def test_a_draw_decides_the_augmentation(digits):
    view = ImageView(digits, NOISE)
    first = view[Draw(0, 1)]["inputs"]
    torch.manual_seed(99)
    assert torch.equal(view[Draw(0, 1)]["inputs"], first)
    assert not torch.equal(view[Draw(0, 2)]["inputs"], first)
    assert torch.equal(view[Draw(0, 2**63 - 1)]["inputs"], view[Draw(0, 2**63 - 1)]["inputs"])


def test_a_draw_leaves_every_generator_as_it_was(digits):
    view = ImageView(digits, NOISE)
    before = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),  # noqa: NPY002
        random.getstate(),
    )
    inputs = view[Draw(5, 123)]["inputs"]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    view[5]  # with a plain index the process generator moves, and the picture differs
    assert not torch.equal(torch.get_rng_state(), before[0])
    assert not torch.equal(view[5]["inputs"], inputs)


def test_construction_leaves_the_generator_as_it_was(digits):
    before = torch.get_rng_state()
    ImageView(digits, NOISE)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_failing_pipeline_names_the_sample_and_restores_the_generator(digits):
    def explode(image):
        torch.rand(1)
        if armed:
            raise KeyError("boom")
        return v2.functional.pil_to_tensor(image)

    armed = False
    view = ImageView(digits, explode, name="train_pipeline")
    armed = True
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"train_pipeline fails on 'all/7'.*8x8 L.*boom"):
        view[Draw(7, 1)]
    assert torch.equal(torch.get_rng_state(), before)


def test_an_image_that_vanishes_is_named(tmp_path, save_image):
    save_image("a.png")
    gone = save_image("sub/b.png")
    view = ImageView(ImageFolder(tmp_path), [TO_TENSOR])
    gone.unlink()
    with pytest.raises(OSError, match=r"cannot read 'sub/b\.png' \(sample 1 of ImageFolder\(2"):
        view[1]


@pytest.mark.parametrize("key", [1797, -1, Draw(1797, 0), Draw(-1, 0)])
def test_indices_outside(digits, key):
    with pytest.raises(IndexError, match=r"outside \[0, 1797\)"):
        ImageView(digits, [TO_TENSOR])[key]


@pytest.mark.parametrize("name", ["train_pipeline", "eval_pipeline"])
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ([dict(type="Resize", size=4)], r"returns Image, not .*add dict\(type='PILToTensor'\)"),
        ([TO_TENSOR, dict(type="ToDtype", dtype="int64")], r"returns torch\.int64 of shape"),
        (lambda image: torch.zeros(4, 4), r"returns torch\.float32 of shape \(4, 4\)"),
        ([dict(type="Resize", sizes=4)], "'Resize' has no option 'sizes'"),
    ],
)
def test_a_pipeline_that_makes_no_tensor_is_refused_at_once(digits, name, pipeline, message):
    with pytest.raises(TypeError, match=rf"^{name}.*{message}"):
        ImageView(digits, pipeline, name=name)


def test_images_of_different_size_are_named(tmp_path, save_image):
    save_image("a.png", size=(20, 16))
    save_image("b.png", size=(30, 16))
    view = ImageView(ImageFolder(tmp_path), [dict(type="Resize", size=8), TO_TENSOR])
    assert view[0]["inputs"].shape == (3, 8, 10)
    with pytest.raises(
        RuntimeError, match=r"\(3, 8, 15\) of 'b\.png' but \(3, 8, 10\) of 'a\.png'"
    ):
        view[1]


def test_torchvision_images_become_plain_tensors(digits):
    view = ImageView(digits, [dict(type="ToImage"), dict(type="ToDtype", dtype="float32")])
    assert type(view[0]["inputs"]) is torch.Tensor


def test_grey_and_colour_arrays():
    rng = np.random.default_rng(0)
    for shape, channels in (((2, 4, 5), 1), ((2, 4, 5, 3), 3)):
        images = rng.integers(0, 256, shape, dtype=np.uint8)
        view = ImageView(ArrayImageDataset(images, "train"), [TO_TENSOR])
        assert view.image_shape == (channels, 4, 5)
