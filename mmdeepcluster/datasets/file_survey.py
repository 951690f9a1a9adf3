"""What the files of a data set are like before training: there or not, readable or not."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmdeepcluster.datasets.chain_digest import Chain
from mmdeepcluster.datasets.file_check import (
    BLOCK,
    Finding,
    check_files,
    check_same_length,
    deal,
)
from mmdeepcluster.datasets.file_findings import DIGEST_BYTES, UNKNOWN, FileFindings
from mmdeepcluster.datasets.list_index import TICK
from mmdeepcluster.datasets.packed_strings import PackedStrings

# Blocks of one rank between two meetings of the ranks: a hundred thousand files.
BLOCKS_A_ROUND = 32


class _Look(NamedTuple):
    """What asking for size and time of the files of a block gave.

    Attributes:
        digest: of names, sizes and times; ``UNKNOWN`` if a file changed a moment ago.
        missing: positions of files that do not exist.
        findings: what was found in these very files before, None if nothing was.
        link: part of the fingerprint, where the findings are known.
    """

    digest: bytes
    missing: list[int]
    findings: list[Finding] | None
    link: Chain | None


class FileSurvey:
    """Looks at all files, and again only at those that changed since; collective.

    What was found is kept in a file, in blocks of :data:`~.file_check.BLOCK` files: a block is
    decoded again unless each of its files has the name, the size and the time of change that it
    had. For that each file is asked for them once, by one rank.

    Args:
        root: folder that relative names start from.
        names: path of each file.
        path: list file that they come from, for messages.
        places: files that may hold what was found, in the order of trial.
        num_threads: threads of each rank, None for the usable CPU cores.

    Attributes:
        links: Of blocks whose files are as they were: their part of the fingerprint.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        path: Path,
        places: Sequence[Path],
        num_threads: int | None,
    ) -> None:
        self._root, self._names, self._path, self._places = root, names, path, places
        self._num_threads = num_threads
        self._digests: list[bytes] = []
        self._stale: list[int] = []
        self._known: list[Finding] = []
        self.links: dict[int, Chain] = {}

    def find_missing(self) -> array[int]:
        """Positions of the files that do not exist; asks each for its size and time."""
        check_same_length(self._names)
        kept = FileFindings.load(self._root, self._places)
        count = -(-len(self._names) // BLOCK)

        def told(done: int) -> str:
            return (
                f"looked for {min(done * BLOCK, len(self._names)):,} of {len(self._names):,} files"
            )

        def look(block: int) -> _Look:
            return self._look(block, kept)

        missing = array("q")
        for block, found in enumerate(deal(count, look, self._num_threads, BLOCKS_A_ROUND, told)):
            missing.extend(found.missing)
            self._digests.append(found.digest)
            if found.findings is None or found.link is None:
                self._stale.append(block)
            else:
                self._known += found.findings
                self.links[block] = found.link
        return missing

    def find_defects(self, defect: Callable[[str], str | None]) -> FileFindings:
        """Looks into the files of blocks that changed, and keeps what is found.

        Args:
            defect: says of a name what is wrong with the file, or None; called from threads.
        """
        new = check_files(self._names, defect, self._num_threads, self._stale)
        findings = pack(self._digests, sorted([*self._known, *new]))
        if self._stale and any(digest != UNKNOWN for digest in self._digests):
            self._save(findings)
        return findings

    def _save(self, findings: FileFindings) -> None:
        # One process of each machine: places may be on a disk of its own.
        if os.environ.get("LOCAL_RANK", "0") != "0":
            return
        try:
            findings.save(self._root, self._path, self._places)
        except OSError as error:
            print_log(
                f"what was found in the files of {str(self._path)!r} cannot be kept, so the next "
                f"start will decode them again: {error}",
                logger="current",
                level=logging.WARNING,
            )

    def _look(self, block: int, kept: FileFindings) -> _Look:
        start = block * BLOCK
        names = self._names[start : start + BLOCK]
        # Before the files are looked at: what changes later shows another time.
        now = time.time_ns()
        states = [_state(os.path.join(self._root, name)) for name in names]  # noqa: PTH118
        missing = [start + i for i, state in enumerate(states) if state is None]
        newest = max((state[1] for state in states if state is not None), default=0)
        text = "\0".join(f"{name}\0{state}" for name, state in zip(names, states, strict=True))
        digest = hashlib.blake2b(os.fsencode(text), digest_size=DIGEST_BYTES).digest()
        if newest > now - TICK:
            digest = UNKNOWN
        findings = kept.of_block(block, digest)
        if findings is None:
            return _Look(digest, missing, None, None)
        broken = {position - start for position, _ in findings}
        link = link_of(
            (name, state[0])
            for i, (name, state) in enumerate(zip(names, states, strict=True))
            if state is not None and i not in broken
        )
        return _Look(digest, missing, findings, link)


def pack(digests: Sequence[bytes], findings: Sequence[Finding]) -> FileFindings:
    """Findings in buffers."""
    positions = np.fromiter((position for position, _ in findings), np.int64, len(findings))
    return FileFindings(digests, positions, PackedStrings(reason for _, reason in findings))


def link_of(files: Iterable[tuple[str, int]]) -> Chain:
    """Part of the fingerprint: names and sizes of consecutive files."""
    return Chain.of(os.fsencode(name) + b"\0" + str(size).encode() + b"\0" for name, size in files)


def _state(path: str) -> tuple[int, int] | None:
    """Size and time of change, None if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 (pathlib takes twice the time)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
