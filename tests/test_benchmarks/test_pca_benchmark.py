"""The benchmark of PCA whitening as a user runs it, at a tiny size; times are not asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_error_is_that_of_faiss(tmp_path):
    pytest.importorskip("faiss", reason="faiss is an optional extra")
    file = tmp_path / "result.json"
    command = [sys.executable, "benchmarks/pca.py", "--small", "--threads", "1", "--json", file]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(file.read_text())
    errors = result["error_against_fp64"]
    assert 0 < errors["ours"] <= 2 * errors["faiss"] < 1e-3  # both find the same directions
    assert result["faiss_over_ours"]["runs"] == 2
    assert {"command", "machine", "versions", "settings", "targets"} <= result.keys()
