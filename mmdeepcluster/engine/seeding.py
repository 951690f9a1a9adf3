"""Named randomness: a seed for every purpose, derived from ``randomness.seed``."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, *position: int) -> int:
    """A well mixed 63-bit seed for a purpose and a position (epoch, cycle, rank).

    The same arguments give the same seed on every machine; different ones are independent.
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *position]
    state = np.random.SeedSequence(entropy).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def config_seed(cfg: Mapping[str, Any]) -> int:
    """``randomness.seed`` of a config, 0 where it has none."""
    return (cfg.get("randomness") or {}).get("seed") or 0


def seed_everything(seed: int) -> None:
    """Seeds torch on all devices, numpy's global state and ``random``."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - third party code may draw from the global state
    random.seed(seed)


def random_state() -> dict[str, Any]:
    """The global generators of this process (torch, its GPU, numpy, ``random``) in plain values."""
    state: Any = np.random.get_state()  # noqa: NPY002
    name, words, position, has_gauss, gauss = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [name, torch.from_numpy(words.astype(np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Takes over what :func:`random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    name, words, position, has_gauss, gauss = state["numpy"]
    words = words.numpy().astype(np.uint32)
    np.random.set_state((name, words, position, has_gauss, gauss))  # noqa: NPY002
    random.setstate(state["python"])
