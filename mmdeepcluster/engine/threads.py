"""How the cores of a machine without a GPU are shared."""

from __future__ import annotations

import os

import torch

from mmdeepcluster.datasets.pil_loading import default_num_threads


def share_cores(num_workers: int) -> None:
    """Leaves a core to each data worker and the rest to torch.

    torch takes a thread for every core. Beside data workers, or any other program, threads of
    small products then wait for each other: on two cores LeNet-5 trained several times slower.
    ``OMP_NUM_THREADS``, where it is set, is the user's word and nothing is changed.

    Args:
        num_workers: Data workers of the training loader.
    """
    if torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ:
        return
    torch.set_num_threads(max(1, default_num_threads() - num_workers))
