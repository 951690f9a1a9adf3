"""Tools run in the process of the test, without the seconds that a new one takes to start."""

import contextlib
import io
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_here(script, *arguments):
    """Runs ``tools/<script>`` with arguments; its last words if it fails, else None."""
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
