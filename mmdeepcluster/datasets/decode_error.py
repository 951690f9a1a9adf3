"""The error of a file whose pixels are asked for later than its header."""

from __future__ import annotations


class DecodeError(OSError):
    """A file turned out to be damaged when its pixels were asked for."""
