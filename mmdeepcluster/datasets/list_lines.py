r"""Where the names of a list file stand: a vectorised scan in pieces.

The rules are those of ``str``: the text is UTF-8 whose invalid bytes are kept (surrogateescape), a
line ends at ``\n``, ``\r`` or ``\r\n``, white space of any script around a name does not
count, blank lines and lines that start with ``#`` are passed over, and so is a byte order mark.
What bytes alone cannot decide, such as a line that starts with a space, is left to ``str`` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Larger pieces are no faster, and with lines of two bytes the arrays of a piece are 30 times it.
_PIECE = 1 << 22
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# First bytes, in UTF-8, of the characters that str.strip() takes off.
_MAY_BE_SPACE = np.zeros(256, bool)
_MAY_BE_SPACE[[*range(0x09, 0x0E), *range(0x1C, 0x21), 0xC2, 0xE1, 0xE2, 0xE3]] = True
_MAX_DIGITS = 18  # 10**18 fits into int64
_MAX_LABEL = np.iinfo(np.int64).max


class LabelError(ValueError):
    """A line does not end in a label.

    Args:
        number: number of the line, from 1.
        line: its text.
    """

    def __init__(self, number: int, line: str) -> None:
        super().__init__(number, line)
        self.number = number
        self.line = line


def decode_line(line: bytes) -> str:
    """Text of a line without the white space around it."""
    return line.decode("utf-8", "surrogateescape").strip()


def split_label(line: str) -> tuple[str, int] | None:
    """Splits a stripped line into name and label, or returns None if it has no label."""
    name, _, token = line.replace("\t", " ").rpartition(" ")
    if not name.strip() or not (token.isascii() and token.isdigit()):
        return None
    digits = token.lstrip("0")[: _MAX_DIGITS + 2] or "0"
    return (line[: len(name)].strip(), int(digits)) if int(digits) <= _MAX_LABEL else None


def scan_lines(file: BinaryIO, labels: bool) -> Iterator[NDArray[np.int64]]:
    """Finds the lines that name an image.

    Args:
        file: the list file, open at its start.
        labels: every line ends in a label, which is read too.

    Yields:
        Rows of int64, shape (n, 1), or (n, 2) with labels: offset of the first character of the
        name in bytes, and the label.

    Raises:
        LabelError: a line has no label.
        ValueError: no line ends within 4 MiB, so this is no list file.
    """
    offset, number = 0, 1
    for piece in _whole_lines(file):
        skipped = len(_BYTE_ORDER_MARK) if not offset and piece.startswith(_BYTE_ORDER_MARK) else 0
        data = np.frombuffer(piece, np.uint8)
        starts, ends = _find_names(piece, data, skipped)
        rows = np.empty((len(starts), 2 if labels else 1), np.int64)
        rows[:, 0] = starts + offset
        if labels:
            rows[:, 1] = _read_labels(piece, data, starts, ends, number)
        yield rows
        offset += len(piece)
        number += _count_lines(piece)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yields pieces that end where a line ends, the last line of the file possibly excepted."""
    rest = b""
    while block := file.read(_PIECE):
        data = rest + block
        # Only a piece without any "\n" is cut at "\r", so that "\r\n" stays together.
        end = data.rfind(b"\n") + 1 or data.rfind(b"\r") + 1
        if not end and len(data) > _PIECE:
            raise ValueError(f"no line ends within {_PIECE:,} bytes, this is no list of images")
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def _count_lines(piece: bytes) -> int:
    return piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")


def _find_names(
    piece: bytes, data: NDArray[np.uint8], skipped: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First byte of each name and end of its line, both (n,), comments and blanks left out."""
    breaks = data == ord("\n")
    if b"\r" in piece:
        breaks |= data == ord("\r")
    ends = np.flatnonzero(breaks)
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.concatenate([[skipped], ends[:-1] + 1])
    full = starts < ends
    starts, ends = starts[full], ends[full]
    for index in np.flatnonzero(_MAY_BE_SPACE[data[starts]]):
        line = piece[int(starts[index]) : int(ends[index])].decode("utf-8", "surrogateescape")
        starts[index] = ends[index] - len(line.lstrip().encode("utf-8", "surrogateescape"))
    full = starts < ends
    full[full] = data[starts[full]] != ord("#")
    return starts[full], ends[full]


def _read_labels(
    piece: bytes,
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    number: int,
) -> NDArray[np.int64]:
    """The label at the end of each line, (n,); ``number`` is that of the first line."""
    position, values, scale = ends - 1, np.zeros_like(ends), 1
    active = np.arange(len(ends))
    for _ in range(_MAX_DIGITS):
        digits = data[position[active]].astype(np.int64) - ord("0")
        # The first character is never part of a label, so no position leaves its line.
        valid = (digits >= 0) & (digits <= 9) & (position[active] > starts[active])
        active = active[valid]
        values[active] += digits[valid] * scale
        position[active] -= 1
        scale *= 10
    before = data[position]
    certain = (position < ends - 1) & ((before == ord(" ")) | (before == ord("\t")))
    for index in np.flatnonzero(~certain):
        start, end = int(starts[index]), int(ends[index])
        line = decode_line(piece[start:end])
        parts = split_label(line)
        if parts is None:
            raise LabelError(number + _count_lines(piece[:start]), line)
        values[index] = parts[1]
    return values
