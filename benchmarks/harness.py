"""What the benchmarks share: turns, neighbours, memory, and how a figure meets its goal.

Contenders take turns within one process and ratios are formed inside a round, so that a machine
that changes its speed changes both sides. A repetition during which other processes used more than
:data:`MOST_FOREIGN` of the machine is dropped; where too few are left, processor time is compared
instead of wall time, which neighbours disturb less.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import multiprocessing
import os
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

MOST_FOREIGN = 0.05
# Fewer quiet rounds than this say nothing.
LEAST_ROUNDS = 3
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Repetition(NamedTuple):
    """One run of a contender.

    Attributes:
        wall: Seconds.
        processor: Processor seconds of this process and its children.
        foreign: Share of the machine that other processes used meanwhile.
    """

    wall: float
    processor: float
    foreign: float


class Turns:
    """Keeps the repetitions of each contender; they take turns, so number i of each is a round."""

    def __init__(self) -> None:
        self.found: dict[str, list[Repetition]] = {}

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Times a block as one repetition of a contender."""
        busy, wall, own = busy_seconds(), time.perf_counter(), own_seconds()
        yield
        self.note(name, busy, wall, own)

    def note(self, name: str, busy: float, wall: float, own: float) -> None:
        """Ends a repetition that began at these readings of the clocks."""
        synchronize()
        seconds, used = time.perf_counter() - wall, own_seconds() - own
        others = (busy_seconds() - busy - used) / (seconds * (os.cpu_count() or 1))
        kept = self.found.setdefault(name, [])
        kept.append(Repetition(seconds, used, min(1.0, max(0.0, others))))

    def clock(self, names: Sequence[str]) -> str:
        """``wall`` if enough rounds of these contenders were quiet, else ``processor``."""
        return "wall" if len(self._quiet(names)) >= LEAST_ROUNDS else "processor"

    def _quiet(self, names: Sequence[str]) -> list[int]:
        rounds = range(min(len(self.found[name]) for name in names))
        return [r for r in rounds if all(self.found[n][r].foreign <= MOST_FOREIGN for n in names)]

    def ratio(self, over: str, under: str, clock: str | None = None) -> dict[str, Any]:
        """Spread of seconds of ``over`` / seconds of ``under`` within each round.

        Args:
            over: A contender.
            under: Another one.
            clock: ``wall`` or ``processor``. Defaults to what :meth:`clock` says.
        """
        names = (over, under)
        quiet = self._quiet(names)
        clock = clock or self.clock(names)
        rounds = (
            quiet
            if clock == "wall" and len(quiet) >= LEAST_ROUNDS
            else range(min(len(self.found[name]) for name in names))
        )
        values = [
            getattr(self.found[over][r], clock) / getattr(self.found[under][r], clock)
            for r in rounds
        ]
        return {**spread(values), "clock": clock}

    def seconds(self) -> dict[str, dict[str, Any]]:
        """Spread of both clocks and of foreign use, by contender."""
        return {
            name: {
                field: spread([getattr(one, field) for one in found])
                for field in Repetition._fields
            }
            for name, found in self.found.items()
        }


def take_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> Turns:
    """Runs all contenders in each round, each first as often as the others."""
    turns = Turns()
    names = list(contenders)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            with turns.turn(name):
                contenders[name]()
    return turns


def calibrator(size: int = 768) -> Callable[[], float]:
    """A function that multiplies square fp32 matrices and says how many GFLOP/s that made."""
    factor = torch.randn(size, size, generator=torch.Generator().manual_seed(0))

    def run() -> float:
        start = time.perf_counter()
        for _ in range(5):
            factor @ factor
        return 5 * 2.0 * size**3 / (time.perf_counter() - start) / 1e9

    return run


def keep_freed_memory() -> bool:
    """Lets glibc keep what is freed; whether there is a glibc that does.

    It gives large blocks back to the system and gets them anew, page by page, or not, as their
    addresses fall: in one process one of two equal loops paid for 25,000 page faults in each step
    (5 % of it) and the other for none.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4  # of malloc.h
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, -1))  # -1: never


def synchronize() -> None:
    """Waits for a GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def own_seconds() -> float:
    """Processor time of this process, of children that ended, and of those that run."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    return total + sum(_seconds_of(child.pid) for child in multiprocessing.active_children())


def _seconds_of(pid: int | None) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / _TICKS


def busy_seconds() -> float:
    """Processor time that the machine has spent on anything, 0 where Linux does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    numbers = [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:8]]
    return (sum(numbers) - numbers[3] - numbers[4]) / _TICKS


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles and number of values."""
    p25, median, p75 = np.percentile(values, [25, 50, 75]).tolist()
    return {"median": median, "p25": p25, "p75": p75, "runs": len(values)}


def resident_bytes(entry: str = "VmRSS") -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process; 0 where Linux does not tell."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    return 0


def peak_bytes() -> dict[str, int]:
    """Largest resident set of this process and of a child; of a GPU what torch allocated."""
    found = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "largest_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_allocated()
    return found


def machine() -> dict[str, Any]:
    """Where this runs."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
    }


def versions(*names: str) -> dict[str, str]:
    """Of Python, torch, this package and others by their import names."""
    found = {"python": platform.python_version()}
    for name in ("mmdeepcluster", "torch", "numpy", *names):
        try:
            found[name] = str(getattr(importlib.import_module(name), "__version__", "present"))
        except ImportError:
            found[name] = "absent"
    return found


def goal(value: float, sign: str, limit: float, **more: Any) -> dict[str, Any]:
    """A value beside its limit.

    Args:
        value: What was measured.
        sign: ``<=`` or ``>=``.
        limit: What it is measured against.
        **more: Written beside it: ``id`` of the goal, ``clock``, quartiles.
    """
    met = value <= limit if sign == "<=" else value >= limit
    return {"value": value, "limit": f"{sign} {limit:g}", "met": bool(met), **more}


def ratio_goal(ratio: Mapping[str, Any], sign: str, limit: float, **more: Any) -> dict[str, Any]:
    """The same for what :meth:`Turns.ratio` returned."""
    kept = {key: ratio[key] for key in ("p25", "p75", "runs", "clock") if key in ratio}
    return goal(ratio["median"], sign, limit, **kept, **more)


def add_common_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Options that every benchmark has."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of all ({rounds})")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a look")
    parser.add_argument("--threads", type=int, help="of torch; default: as a training would")
    parser.add_argument("--json", type=Path, help="file for machine, settings and figures")


def result_of(
    script: str, arguments: Sequence[str], args: argparse.Namespace, *packages: str
) -> dict[str, Any]:
    """The head of a result: command, date, machine, versions, settings."""
    return {
        "command": shlex.join(["python", f"benchmarks/{script}.py", *arguments]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(*packages),
        "settings": {
            key: value if isinstance(value, int | float | list | type(None)) else str(value)
            for key, value in vars(args).items()
        },
    }


def finish(result: dict[str, Any], file: Path | None) -> None:
    """Adds the peak of memory, prints goals, writes the file."""
    result["peak_bytes"] = peak_bytes()
    for name, row in result.get("targets", {}).items():
        verdict = "met" if row["met"] else "MISSED"
        print(f"{name:58} {row['value']:10.4g}  {row['limit']:10} {verdict}")
    peak = ", ".join(f"{k} {v / 2**20:.0f} MiB" for k, v in result["peak_bytes"].items())
    print(f"peak memory: {peak}")
    if file is not None:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.flush()
