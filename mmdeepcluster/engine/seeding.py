"""Named randomness: a seed for every purpose, derived from ``randomness.seed``."""

from __future__ import annotations

import random
import zlib

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, *position: int) -> int:
    """A well mixed 63-bit seed for a purpose and a position (epoch, cycle, rank).

    The same arguments give the same seed on every machine; different ones are independent.
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *position]
    state = np.random.SeedSequence(entropy).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def seed_everything(seed: int) -> None:
    """Seeds torch on all devices, numpy's global state and ``random``."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - third party code may draw from the global state
    random.seed(seed)
