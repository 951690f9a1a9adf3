"""A digest of a sequence that can be computed in parts, whatever the parts are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

_PRIME = 2**255 - 19
_BASE = int.from_bytes(hashlib.sha256(b"mmdeepcluster").digest(), "big") % _PRIME


class Chain(NamedTuple):
    """Digest of a sequence of byte strings, in their order.

    The sum of ``sha256(item_i) * BASE ** (length - 1 - i)`` modulo a prime. That of two sequences
    one behind the other follows from theirs, so each process can look at some parts, and where the
    borders of the parts are does not matter. It tells different data apart; it is no proof against
    somebody who makes up data with the same digest.

    Attributes:
        length: items of the sequence.
        value: their digest, below ``2 ** 255``.
    """

    length: int = 0
    value: int = 0

    @classmethod
    def of(cls, items: Iterable[bytes]) -> Chain:
        """Digest of a sequence."""
        length = value = 0
        for item in items:
            length += 1
            value = (value * _BASE + int.from_bytes(hashlib.sha256(item).digest(), "big")) % _PRIME
        return cls(length, value)

    def then(self, behind: Chain) -> Chain:
        """Digest of this sequence with another one behind it."""
        shifted = self.value * pow(_BASE, behind.length, _PRIME)
        return Chain(self.length + behind.length, (shifted + behind.value) % _PRIME)

    def to_bytes(self) -> bytes:
        """Length and value, 40 bytes."""
        return self.length.to_bytes(8, "big") + self.value.to_bytes(32, "big")
