"""How the cores of a machine without a GPU are shared."""

from __future__ import annotations

import os

import torch

from mmdeepcluster.datasets.file_check import default_num_threads

_CORES_FOR_DATA = 2


def share_cores() -> None:
    """Leaves two cores to the data workers and the rest, at least one, to torch.

    torch takes a thread for every core. Beside data workers, or any other program, threads of
    small products then wait for each other: on two cores LeNet-5 trained several times slower.
    The share does not depend on the number of workers, because results depend on the number of
    threads (sums are split over them) and must not depend on who loads the data.
    ``OMP_NUM_THREADS``, where it is set, is the user's word and nothing is changed.
    """
    if torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ:
        return
    torch.set_num_threads(max(1, default_num_threads() - _CORES_FOR_DATA))
