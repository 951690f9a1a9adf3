"""Many trainings that differ in a few settings, and one table of how they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmdeepcluster.apis.sweep_plan import SweepPlan, SweepRun, load_sweep
from mmdeepcluster.apis.sweep_table import draw_sweep, write_tables
from mmdeepcluster.engine import ConfigError, write_atomically

_REPORT = "report.json"
_OUTPUT = "output.log"


def run_sweep(
    sweep_file: str | Path, out: str | Path, train_command: Sequence[str], jobs: int = 1
) -> list[dict[str, Any]]:
    """Runs what a sweep file names, and compares the reports of all runs.

    Each run is a training of its own in ``out/<its values>``, with its config in
    ``out/configs``. A run that has ended is not repeated, one that was cut off continues from
    its newest checkpoint. A run that fails is listed with its error, and tried again by the
    next call. ``results.csv``, ``results.md`` and ``results.json`` are written after each run, a
    figure at the end.

    Args:
        sweep_file: YAML or Python file, see :func:`load_sweep`.
        out: Folder of the sweep.
        train_command: Command of a training, to which config and options are added.
        jobs: Trainings at a time.

    Returns:
        For each run its name, settings, seed, ``status`` (``done`` or ``failed``), ``error`` and
        the figures of its report.

    Raises:
        ConfigError: If the sweep file cannot be used, or ``out`` holds runs of other settings.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs must be >= 1, got {jobs}")
    plan, out = load_sweep(sweep_file), Path(out)
    configs = _write_configs(plan, out)
    results: dict[str, dict[str, Any]] = {}
    workers = _Workers(list(train_command))
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [pool.submit(workers.run, run, configs[run.name], out) for run in plan.runs]
            for number, future in enumerate(as_completed(futures), start=1):
                result = future.result()
                results[result["name"]] = result
                _say(result, number, len(plan.runs))
                write_tables(plan, _in_order(plan, results), out)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            workers.stop()
            raise
    if not draw_sweep(plan, _in_order(plan, results), out / "results.png"):
        print_log("no figure without matplotlib and a measure that a run has", "current")
    return _in_order(plan, results)


class _Workers:
    """Trainings as processes of their own, which all end when the sweep does."""

    def __init__(self, train_command: list[str]) -> None:
        self._command = train_command
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, run: SweepRun, config: Path, out: Path) -> dict[str, Any]:
        """Trains, unless that was done before; returns how it ended."""
        folder = out / run.name
        result = {"name": run.name, "settings": run.settings, "seed": run.seed}
        if not (folder / _REPORT).is_file():
            folder.mkdir(exist_ok=True)
            start = time.perf_counter()
            code = self._train(config, folder)
            result["minutes"] = round((time.perf_counter() - start) / 60, 2)
            if code != 0 or not (folder / _REPORT).is_file():
                return {**result, "status": "failed", "error": _error(folder / _OUTPUT, code)}
        report = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
        return {**result, "status": "done", "error": None, "report": report}

    def _train(self, config: Path, folder: Path) -> int:
        options = [str(config), "--work-dir", str(folder), "--resume"]
        with (folder / _OUTPUT).open("ab") as output:
            with self._lock:
                if self._stopped:
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    [*self._command, *options],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches it once, through stop()
                )
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def stop(self) -> None:
        """Asks the trainings to save a checkpoint and end, and waits for them."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _write_configs(plan: SweepPlan, out: Path) -> dict[str, Path]:
    """The config of each run; refuses if a run of that name had other settings."""
    folder = out / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {run.name: folder / f"{run.name}.py" for run in plan.runs}
    texts = {run.name: plan.config_text(run) for run in plan.runs}
    for name, path in paths.items():
        started = (out / name).exists()
        if started and path.is_file() and path.read_text(encoding="utf-8") != texts[name]:
            raise ConfigError(
                f"{out / name} is a run of other settings (see {path}): give another --out, or "
                "remove it"
            )
    for name, path in paths.items():
        write_atomically(path, texts[name])
    return paths


def _error(output: Path, code: int) -> str:
    """What a training said last."""
    with output.open("rb") as file:
        file.seek(max(0, os.path.getsize(output) - 8192))  # noqa: PTH202
        lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
    named = [line for line in lines if line.startswith("error: ")]
    last = named[-1].removeprefix("error: ") if named else (lines[-1] if lines else "no output")
    return f"{last} (exit code {code}, {output})"


def _say(result: dict[str, Any], number: int, total: int) -> None:
    ended = "done" if result["status"] == "done" else f"FAILED: {result['error']}"
    seconds = f" in {result['minutes']} minutes" if "minutes" in result else ""
    print_log(f"[{number}/{total}] {result['name']}: {ended}{seconds}", "current")


def _in_order(plan: SweepPlan, results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [results[run.name] for run in plan.runs if run.name in results]
