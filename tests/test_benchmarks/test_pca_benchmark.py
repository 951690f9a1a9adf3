"""The benchmark of PCA whitening as a user runs it, at a tiny size; times are not asserted."""

import json

import pytest
from tool_runs import run_apart


def test_error_is_that_of_faiss(tmp_path):
    pytest.importorskip("faiss", reason="faiss is an optional extra")
    file = tmp_path / "result.json"
    run = run_apart("benchmarks/pca.py", "--small", "--threads", 1, "--json", file)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(file.read_text())
    errors = result["error_against_fp64"]
    assert 0 < errors["ours"] <= 2 * errors["faiss"] < 1e-3  # both find the same directions
    assert result["faiss_over_ours"]["runs"] == 2
    assert {"command", "machine", "versions", "settings", "targets"} <= result.keys()
