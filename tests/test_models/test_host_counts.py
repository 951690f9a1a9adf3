"""Sizes of groups reach the host without a GPU being asked to stop (DESIGN 3.5)."""

import pytest
import torch

from mmdeepcluster.models.algorithms.rotation import draw_rotations, rotate
from mmdeepcluster.models.heads.targets import HostCounts


def test_counts():
    groups = torch.tensor([2, 0, 2, 2, 4])
    assert HostCounts(groups, 6).tolist() == [1, 0, 3, 0, 1, 0]
    assert HostCounts(groups[:0], 2).tolist() == [0, 0]


@pytest.mark.gpu
def test_counts_and_turns_on_a_gpu_without_a_sync():
    groups = torch.tensor([2, 0, 2, 2, 4], device="cuda")
    images = torch.randn(8, 3, 16, 16, device="cuda")
    rotations = draw_rotations(8, 4)
    expected = rotate(images.cpu(), rotations)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        counts = HostCounts(groups, 6)
        turned = rotate(images, rotations)
        sizes = counts.tolist()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sizes == [1, 0, 3, 0, 1, 0]
    assert torch.equal(turned.cpu(), expected)
