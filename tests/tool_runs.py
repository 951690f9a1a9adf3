"""Tools run without the seconds that a new interpreter takes to import torch."""

import contextlib
import io
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
# The server that processes are forked from has imported what takes seconds and runs no thread.
PRELOAD = ["mmdeepcluster.apis", "pytest", "sklearn.datasets", "torch.multiprocessing"]
multiprocessing.set_forkserver_preload(PRELOAD)


class Ended(NamedTuple):
    """A process that ended."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


def run_here(script, *arguments):
    """Runs ``tools/<script>`` with arguments in this process; its last words if it fails."""
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors):
        patch.chdir(ROOT)
        patch.syspath_prepend(ROOT / "tools")
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        try:
            runpy.run_path(f"tools/{script}", run_name="__main__")
        except SystemExit as ended:
            assert ended.code == 1, errors.getvalue()
            return errors.getvalue().strip().splitlines()[-1]
    return None


def run_apart(script, *arguments):
    """Runs a script with arguments in a process of its own, from the root of the repository."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = multiprocessing.get_context("forkserver").Process(
            target=_become, args=(str(script), list(map(str, arguments)), said)
        )
        process.start()
        process.join()
        texts = [path.read_text() for path in said]
        return Ended(process.exitcode, *texts, time.perf_counter() - begin)


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_script(command, folder=ROOT, **environment):
    """Starts a script of ``tools/`` that starts processes; what all say goes to its stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PYTHONPATH": str(ROOT), "PORT": str(free_port()), "PATH": path}
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _become(script, arguments, said):
    """Makes this process what ``python script arguments`` would be."""
    for descriptor, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path[0] = str((ROOT / script).parent)
    sys.path.insert(1, str(ROOT))
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
