"""Arrays inside a page: the bytes of a typed array instead of numbers in decimal digits."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_KINDS = {"u1": "Uint8", "u2": "Uint16", "u4": "Uint32", "i4": "Int32", "f4": "Float32"}


def packed(array: ArrayLike, kind: str | None = None) -> dict[str, str]:
    """An array for ``pageData``; ``unpacked`` of ``report_base.js`` makes the typed array of it.

    Args:
        array: Numbers of any shape; rows follow one another.
        kind: ``u1``, ``u2``, ``u4``, ``i4`` or ``f4``. Defaults to fp32 for floats, otherwise the
            smallest that holds all values.

    Returns:
        ``kind``, the JavaScript name of the array, and ``bytes`` in base64, little-endian.

    Raises:
        ValueError: If the kind is unknown or cannot hold the values.
    """
    values = np.asarray(array)
    if kind is None:
        kind = "f4" if np.issubdtype(values.dtype, np.floating) else _smallest(values)
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    if kind != "f4" and values.size:
        limits = np.iinfo(kind)
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(
                f"values from {values.min()} to {values.max()} do not fit {kind} "
                f"({limits.min} to {limits.max})"
            )
    data = np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()
    return {"kind": _KINDS[kind], "bytes": base64.b64encode(data).decode("ascii")}


def _smallest(values: NDArray[Any]) -> str:
    if not values.size:
        return "u1"
    low, high = int(values.min()), int(values.max())
    if low < 0:
        return "i4"
    return next((kind for kind in ("u1", "u2") if high <= np.iinfo(kind).max), "u4")
