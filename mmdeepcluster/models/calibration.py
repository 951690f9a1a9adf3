"""Statistics of batch norm before there was any training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmdeepcluster.models.algorithms import BaseAlgorithm

# Draws of these epochs are used before training; no training counts so far.
_FIRST_CALIBRATION_EPOCH = 2**31


@torch.no_grad()
def calibrate_batch_norm(
    algorithm: BaseAlgorithm, loader: DataLoader[dict[str, Tensor]], num_passes: int
) -> None:
    """Sets the running statistics of batch norm to the average over training-mode passes.

    An untrained network has none, so its evaluation-mode features are not those that training
    starts from; a small momentum needs thousands of iterations to make up for it (P7). No weight
    changes. Layers that normalise without running statistics are left alone.

    Args:
        algorithm: The model, not wrapped; its mode is left as it was.
        loader: The training loader; its sampler is set to epochs that training never reaches.
        num_passes: Passes over the data set, at least 1.
    """
    layers = [
        m for m in algorithm.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None
    ]
    momenta = [layer.momentum for layer in layers]
    was_training = algorithm.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then keeps the plain average over batches
    algorithm.train()
    batches: Any = loader.batch_sampler
    for number in range(num_passes):
        batches.sampler.set_epoch(_FIRST_CALIBRATION_EPOCH + number)
        for batch in loader:
            data = algorithm.data_preprocessor(batch, training=True)
            algorithm.extract(data["inputs"], ("neck",))
    algorithm.train(was_training)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
