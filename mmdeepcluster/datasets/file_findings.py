"""What was found in image files, kept on disk, so that a restart need not decode them again."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL

from mmdeepcluster.datasets.file_check import BLOCK, Finding
from mmdeepcluster.datasets.list_index import create_temporary
from mmdeepcluster.datasets.packed_strings import PackedStrings

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = 1
DIGEST_BYTES = 16
# Of a block of which nothing is known.
UNKNOWN = bytes(DIGEST_BYTES)


@dataclass(frozen=True)
class FileFindings:
    """Which files cannot be read, and what the files were like when that was found out.

    Attributes:
        digests: of each block of :data:`~.file_check.BLOCK` files, digest of their names, sizes
            and times of change; :data:`UNKNOWN` where that proves nothing.
        positions: of the files that cannot be read, ascending, int64 (n,).
        reasons: why, one for each of them.
    """

    digests: Sequence[bytes] = ()
    positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    reasons: Sequence[str] = ()

    def of_block(self, block: int, digest: bytes) -> list[Finding] | None:
        """Findings in a block whose files are like that now, or None where they are not known."""
        if digest == UNKNOWN or block >= len(self.digests) or self.digests[block] != digest:
            return None
        first, last = np.searchsorted(self.positions, (block * BLOCK, (block + 1) * BLOCK))
        positions = self.positions[first:last].tolist()
        return list(zip(positions, self.reasons[first:last], strict=True))

    def save(self, root: Path, path: Path, places: Sequence[Path]) -> Path:
        """Publishes them in the first place that takes a file, whole or not at all.

        Args:
            root: folder of the files.
            path: list of the files, for messages.
            places: files to write, in the order of trial.

        Raises:
            OSError: No place takes a file, or the disk is full.
        """
        text = PackedStrings(self.reasons)
        place, temporary, file = create_temporary(path, places)
        try:
            with file:
                np.savez(
                    file,
                    key=_key(root),
                    digests=np.frombuffer(b"".join(self.digests), np.uint8),
                    positions=self.positions,
                    ends=text.ends,
                    text=np.frombuffer(text.buffer, np.uint8),
                )
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        return place

    @classmethod
    def load(cls, root: Path, places: Sequence[Path]) -> FileFindings:
        """The newest that were saved for files below a root, or none."""
        found = [(place.stat().st_mtime_ns, place) for place in places if place.is_file()]
        for _, place in sorted(found, reverse=True):
            findings = cls._read(root, place)
            if findings is not None:
                return findings
        return cls()

    @classmethod
    def _read(cls, root: Path, place: Path) -> FileFindings | None:
        try:
            with np.load(place, allow_pickle=False) as saved:
                if not np.array_equal(saved["key"], _key(root)):
                    return None
                digests = saved["digests"].tobytes()
                reasons = PackedStrings.of_buffers(saved["text"].tobytes(), saved["ends"])
                positions = saved["positions"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # of another user, cut, or of another program
        blocks = range(0, len(digests), DIGEST_BYTES)
        return cls([digests[i : i + DIGEST_BYTES] for i in blocks], positions, reasons)


def _key(root: Path) -> NDArray[np.uint8]:
    """What findings depend on beside the files: root, version of the decoder, and the format."""
    parts = (str(_FORMAT).encode(), str(BLOCK).encode(), PIL.__version__.encode())
    digest = hashlib.sha256(b"\0".join((*parts, os.fsencode(root.resolve())))).digest()
    return np.frombuffer(digest, np.uint8)
