"""Runs the benchmarks that fit this machine and prints one table of their figures against goals.

    python -m benchmarks --json benchmarks.json      # an hour on a quiet machine of two cores
    python -m benchmarks --quick                     # minutes, tiny sizes: do they run?
    python -m benchmarks --only pca kmeans
    python -m benchmarks --list

Each runs in a process of its own. Beside its figures stand what other processes took of the machine
meanwhile and how a bare fp32 product changed from before to after: where either is large
(``noisy``), repeat it. Ratios are formed within one run and say more than seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import SCRIPTS, Script
from benchmarks.harness import MOST_FOREIGN, busy_seconds, calibrator, machine, versions

ROOT = Path(__file__).parents[1]
# A bare product that changes by more says that the machine did.
MOST_CHANGE = 0.15
# Of packages that are imported by another name.
_WHEELS = {"faiss": "faiss-cpu"}
_COLUMNS = "{:14} {:52} {:>10}  {:10} {:6} {}"


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [script.name for script in SCRIPTS]
    parser.add_argument("--quick", action="store_true", help="tiny sizes: do they run?")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="say what there is, and why not")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("MMDEEPCLUSTER_DATA"),
        help="folder of real images ($MMDEEPCLUSTER_DATA)",
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="most for one benchmark (30)")
    parser.add_argument("--json", type=Path, help="file for machine, versions and all figures")
    return parser.parse_args(arguments)


def why_not(script: Script, quick: bool, data: Path | None) -> str | None:
    """What this machine lacks for a benchmark; None if nothing."""
    missing = [name for name in script.packages if importlib.util.find_spec(name) is None]
    if missing:
        wheels = [_WHEELS.get(name, name) for name in missing]
        return f"needs {', '.join(missing)}: pip install {' '.join(wheels)}"
    if (os.cpu_count() or 1) < script.cores:
        return f"needs {script.cores} cores, there are {os.cpu_count()}"
    there = available_gib()
    if not quick and there < script.gib:
        return f"needs {script.gib:g} GiB of memory, {there:.1f} are free"
    if script.data and not quick and not (data and (Path(data) / script.data).exists()):
        return f"needs {script.data} in --data or $MMDEEPCLUSTER_DATA, found none in {data}"
    return None


def available_gib() -> float:
    """Memory that is free or can be made so."""
    info = Path("/proc/meminfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return float("inf")


def run(script: Script, quick: bool, data: Path | None, minutes: float) -> dict[str, Any]:
    """Runs one; its figures, peak of memory, and what happened on the machine meanwhile."""
    calibrate = calibrator()
    calibrate()
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "result.json", Path(folder) / "log"
        arguments = [*(script.quick if quick else script.full), "--json", str(file)]
        command = [sys.executable, str(ROOT / "benchmarks" / f"{script.name}.py"), *arguments]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        }
        if data:
            environment["MMDEEPCLUSTER_DATA"] = str(data)
        before, busy, start = calibrate(), busy_seconds(), time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            usage, status = wait(process, start + 60 * minutes)
        seconds, busy = time.perf_counter() - start, busy_seconds() - busy
        own = usage.ru_utime + usage.ru_stime
        found: dict[str, Any] = {
            "arguments": arguments[:-2],
            "wall_seconds": seconds,
            "peak_bytes": usage.ru_maxrss * 1024,
            "foreign": min(1.0, max(0.0, (busy - own) / (seconds * (os.cpu_count() or 1)))),
            "calibrator_gflops": [before, calibrate()],
        }
        if status == 0:
            found["result"] = json.loads(file.read_text())
        else:
            found["failed"] = "took too long" if status is None else f"exit status {status}"
            found["output"] = log.read_text(errors="replace")[-2000:]
    change = found["calibrator_gflops"][1] / before - 1.0
    found["noisy"] = found["foreign"] > MOST_FOREIGN or abs(change) > MOST_CHANGE
    return found


def wait(process: subprocess.Popen[Any], until: float) -> tuple[Any, int | None]:
    """What a process and its children used, and its exit status; None if it was ended."""
    ended = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, None if ended else process.returncode
        if time.perf_counter() > until and not ended:
            process.kill()
            ended = True
        time.sleep(0.05)


def print_table(runs: dict[str, dict[str, Any]], left_out: dict[str, str]) -> None:
    """One line for each figure that has a goal."""
    print("\n" + _COLUMNS.format("benchmark", "figure", "value", "goal", "", "noise"))
    for name, found in runs.items():
        noise = f"noisy: others {found['foreign']:.0%}" if found["noisy"] else ""
        if "failed" in found:
            print(_COLUMNS.format(name, f"FAILED: {found['failed']}", "", "", "", noise))
        for figure, row in found.get("result", {}).get("targets", {}).items():
            verdict = "met" if row["met"] else "MISSED"
            value = f"{row['value']:.4g}"
            print(_COLUMNS.format(name, figure, value, row["limit"], verdict, noise))
        peak = f"peak memory {found['peak_bytes'] / 2**30:.2f} GiB"
        print(_COLUMNS.format(name, peak, f"{found['wall_seconds']:.0f} s", "", "", ""))
    for name, reason in left_out.items():
        print(_COLUMNS.format(name, f"left out: {reason}", "", "", "", ""))


def main(arguments: Sequence[str]) -> int:
    """Runs what fits; the exit status is that of benchmarks that failed, not of missed goals."""
    args = parse_args(arguments)
    chosen = [script for script in SCRIPTS if script.name in args.only]
    left_out = {
        script.name: reason
        for script in chosen
        if (reason := why_not(script, args.quick, args.data)) is not None
    }
    if args.list:
        for script in chosen:
            reason = left_out.get(script.name)
            print(f"{script.name:14} {script.goals}" + (f"; left out: {reason}" if reason else ""))
        return 0
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "quick": args.quick,
        "machine": machine(),
        "versions": versions("mmengine", "torchvision", "faiss", "sklearn"),
        "benchmarks": {},
        "left_out": left_out,
    }
    print(f"{result['date']} {result['machine']}\n{result['versions']}", flush=True)
    for script in chosen:
        if script.name in left_out:
            continue
        print(f"{script.name}: {script.goals} ...", flush=True)
        found = run(script, args.quick, args.data, args.minutes)
        result["benchmarks"][script.name] = found
        if "failed" in found:
            print(found["output"], file=sys.stderr)
    print_table(result["benchmarks"], left_out)
    if args.quick:
        print("quick: sizes are too small for the goals, which are for full runs")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(any("failed" in found for found in result["benchmarks"].values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
