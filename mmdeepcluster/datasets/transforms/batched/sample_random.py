"""Random numbers of samples that follow from the seeds of the samples alone.

A number is a hash of (seed of the draw, path of the transform, number of the call), so it depends
neither on the other samples of a batch nor on how often anything was called before. They are made
on the host, in numpy: the same bits for every device, and nothing waits for a GPU.

The hash is the finaliser of splitmix64 over a counter with its constant (Steele, Lea, Flood: Fast
Splittable Pseudorandom Number Generators, OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit words that changes half of the bits when one changes."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


class SampleRandom:
    """Independent streams of random numbers, one for each sample.

    Args:
        keys: a word for each sample, uint64 (B,); see :meth:`from_seeds`.
    """

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self._keys = keys
        self._calls = 0

    @classmethod
    def from_seeds(cls, seeds: NDArray[np.int64]) -> SampleRandom:
        """Streams of draws with these seeds, int64 (B,)."""
        return cls(_mix(seeds.astype(np.uint64)))

    def __len__(self) -> int:
        return len(self._keys)

    def child(self, number: int) -> SampleRandom:
        """Streams of the same samples for part ``number``, independent of those here."""
        return SampleRandom(self._words(2 * number + 1))

    def rows(self, index: NDArray[np.int64]) -> SampleRandom:
        """Streams of some of the samples, the same that they have here."""
        return SampleRandom(self._keys[index])

    def uniform(
        self, low: float = 0.0, high: float = 1.0, count: int | None = None
    ) -> NDArray[np.float64]:
        """Numbers in [low, high): shape (B,), or (B, count)."""
        numbers = [self._next() for _ in range(1 if count is None else count)]
        units = np.stack(numbers, axis=1) if count is not None else numbers[0]
        shares = (units >> np.uint64(11)).astype(np.float64) * _UNIT
        return low + (high - low) * shares

    def below(self, bounds: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Integers from 0 to ``bounds - 1``, (B,)."""
        return np.floor(self.uniform() * bounds).astype(np.int64)

    def _next(self) -> NDArray[np.uint64]:
        self._calls += 1
        return self._words(2 * self._calls)

    def _words(self, position: int) -> NDArray[np.uint64]:
        offset = np.uint64(position * int(_GOLDEN) % 2**64)
        return _mix(self._keys + offset)
