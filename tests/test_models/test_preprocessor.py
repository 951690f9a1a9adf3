"""Batches reach the device without a wait of the host, where that is safe (P7)."""

import pytest
import torch

from mmdeepcluster.models.preprocessor import ImagePreprocessor


class Watched(torch.Tensor):
    """A tensor that keeps how it is copied."""

    copies = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.to:
            cls.copies.append((args[1], kwargs))
        return super().__torch_function__(function, types, args, kwargs or {})


def batch():
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8).as_subclass(Watched)
    return {"inputs": images, "sample_idx": torch.arange(2).as_subclass(Watched)}


@pytest.mark.parametrize(("device", "non_blocking"), [("meta", True), ("cpu", False)])
def test_only_copies_to_a_device_are_not_waited_for(device, non_blocking):
    preprocessor = ImagePreprocessor(mean=[1, 2, 3], std=[4, 5, 6]).to(device)
    Watched.copies.clear()
    found = preprocessor(batch())
    assert found["inputs"].device.type == found["sample_idx"].device.type == device
    wanted = (torch.device(device), {"non_blocking": non_blocking})
    assert [copy for copy in Watched.copies if "non_blocking" in copy[1]] == [wanted, wanted]


def test_lists_and_texts_pass():
    preprocessor = ImagePreprocessor(mean=[1], std=[4])
    data = {"inputs": torch.zeros(1, 1, 2, 2, dtype=torch.uint8), "names": ["a", None, 3]}
    found = preprocessor(data)
    assert found["names"] == ["a", None, 3] and found["inputs"].eq(-0.25).all()


@pytest.mark.gpu
def test_pinned_batches_are_copied_without_synchronisation():
    preprocessor = ImagePreprocessor(mean=[1, 2, 3], std=[4, 5, 6]).cuda()
    data = {
        "inputs": torch.randint(0, 256, (64, 3, 224, 224), dtype=torch.uint8).pin_memory(),
        "sample_idx": torch.arange(64).pin_memory(),
    }
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = preprocessor(data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    wanted = ImagePreprocessor(mean=[1, 2, 3], std=[4, 5, 6])(data)
    assert found["sample_idx"].cpu().equal(data["sample_idx"])
    torch.testing.assert_close(found["inputs"].cpu(), wanted["inputs"])
