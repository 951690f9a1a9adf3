"""Identity of a network."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def network_digest(network: nn.Module) -> str:
    """sha256 of all parameters and buffers, by name: batch norm statistics count."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
