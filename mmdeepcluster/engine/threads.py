"""How the cores of a machine without a GPU are shared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch.utils.data import DataLoader

from mmdeepcluster.datasets import ArrayView, KeptView
from mmdeepcluster.datasets.device_loader import HeldLoader
from mmdeepcluster.datasets.file_check import default_num_threads

_CORES_FOR_DATA = 2


def share_cores(loader: Any = None) -> None:
    """Leaves two cores to the data workers and the rest, at least one, to torch.

    torch takes a thread for every core. Beside data workers, or any other program, threads of
    small products then wait for each other: on two cores LeNet-5 trained several times slower.
    The share does not depend on the number of workers, because results depend on the number of
    threads (sums are split over them) and must not depend on who loads the data.
    ``OMP_NUM_THREADS``, where it is set, is the user's word and nothing is changed.

    Args:
        loader: Of the training, if there is one. Where it holds the images
            (``train_dataloader.transforms='device'``), nothing is loaded and torch gets all cores.
    """
    if _is_fixed():
        return
    for_data = 0 if isinstance(loader, HeldLoader) else _CORES_FOR_DATA
    torch.set_num_threads(max(1, default_num_threads() - for_data))


@contextmanager
def all_cores() -> Iterator[None]:
    """Lets torch use every core for a while in which no batch is loaded: during a clustering.

    K-means and PCA have the same bits for any number of threads. Several processes keep their
    share: they cluster at the same time, perhaps on the same machine.
    """
    before = torch.get_num_threads()
    if not _is_fixed() and get_world_size() == 1:
        torch.set_num_threads(default_num_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cores_of_pass(loader: DataLoader[Any]) -> Iterator[None]:
    """Every core for a pass over images that are there; torch's share where they are decoded.

    The first of many passes, which decodes as well, has them too: the bits of features may depend
    on the number of threads, and must not on whether a training was resumed.

    Args:
        loader: of the pass.
    """
    with all_cores():  # and those of before at the end
        if not isinstance(loader.dataset, ArrayView | KeptView):
            share_cores()
        yield


def _is_fixed() -> bool:
    """Whether the number of threads is not ours to choose."""
    return torch.cuda.is_available() or "OMP_NUM_THREADS" in os.environ
