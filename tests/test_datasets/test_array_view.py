"""Evaluation of images that are an array: whole batches, to the bit those of torchvision (P10)."""

import numpy as np
import pytest
import torch

from mmdeepcluster.datasets import ImageView, build_eval_loader
from mmdeepcluster.datasets.array_view import ArrayView, in_batches
from mmdeepcluster.datasets.base import ArrayImageDataset
from mmdeepcluster.datasets.class_subsets import ClassSubset
from mmdeepcluster.registry import DATASETS

TO_TENSOR = dict(type="PILToTensor")
IDENTITY = [dict(type="RGB"), dict(type="Resize", size=12), dict(type="CenterCrop", size=12)]
PIPELINES = {
    "as stored": [TO_TENSOR],
    "cifar": [*IDENTITY, TO_TENSOR],
    "grey": [dict(type="Grayscale"), TO_TENSOR],
    "three greys": [dict(type="Grayscale", num_output_channels=3), TO_TENSOR],
    "smaller and larger": [dict(type="CenterCrop", size=[9, 15]), TO_TENSOR],
}
OTHERS = {
    "resized": [dict(type="Resize", size=16), TO_TENSOR],
    "random": [dict(type="RandomHorizontalFlip"), TO_TENSOR],
    "in a float": [TO_TENSOR, dict(type="ToDtype", dtype="float32", scale=True)],
    "grown sides": [dict(type="Resize", max_size=12, size=None), TO_TENSOR],
}


def images(shape, flipped=False):
    pixels = np.random.default_rng(0).integers(0, 256, (23, *shape), dtype=np.uint8)
    # torchvision keeps SVHN channels first
    pixels = pixels if len(shape) == 2 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    pixels = pixels if len(shape) == 2 else pixels.transpose(0, 2, 3, 1)
    return ArrayImageDataset(pixels[:, ::-1] if flipped else pixels, "train", np.arange(23) % 4)


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("shape", [(12, 12), (12, 12, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_have_the_bits_of_torchvision(pipeline, shape, num_workers):
    view = ImageView(images(shape, flipped=num_workers > 0), pipeline, name="eval_pipeline")
    order = [3, 22, 0, 7, 8, 9, 1]
    loader = build_eval_loader(view, batch_size=3, num_workers=num_workers, indices=order)
    assert isinstance(loader.dataset, ArrayView)
    batches = list(loader)
    assert [batch["sample_idx"].tolist() for batch in batches] == [[3, 22, 0], [7, 8, 9], [1]]
    for batch in batches:
        expected = torch.stack([view[i]["inputs"] for i in batch["sample_idx"].tolist()])
        assert torch.equal(batch["inputs"], expected)
        assert batch["inputs"].dtype == torch.uint8 and batch["inputs"].is_contiguous()
        assert torch.equal(loader.dataset[3]["inputs"], view[3]["inputs"])


@pytest.mark.parametrize("pipeline", OTHERS.values(), ids=OTHERS)
def test_other_pipelines_stay_with_torchvision(pipeline):
    view = ImageView(images((12, 12, 3)), pipeline)
    assert in_batches(view) is view


def test_other_views_and_images_stay_as_they_are():
    class Darker(ImageView):
        def _load(self, index):
            return super()._load(index).point(lambda level: level // 2)

    class Drawn(ArrayImageDataset):
        def load_image(self, index):
            return super().load_image(0)

    darker = Darker(images((12, 12, 3)), [TO_TENSOR])
    assert in_batches(darker) is darker
    drawn = ImageView(Drawn(images((12, 12, 3))._images, "train"), [TO_TENSOR])
    assert in_batches(drawn) is drawn


def test_parts_of_a_data_set_and_wrong_samples():
    name = "ImagesOfArrayViewTest"
    DATASETS.register_module(name=name, module=lambda: images((12, 12, 3)), force=True)
    part = ClassSubset(dict(type=name), num_classes=2, num_images=8, seed=1)
    view = ImageView(part, [TO_TENSOR])
    (batch,) = build_eval_loader(view, batch_size=8, num_workers=0)
    expected = torch.stack([view[i]["inputs"] for i in range(8)])
    assert torch.equal(batch["inputs"], expected)
    with pytest.raises(IndexError, match=r"sample 8 is outside \[0, 8\)"):
        in_batches(view).__getitems__([0, 8])
