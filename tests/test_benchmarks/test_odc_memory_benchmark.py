"""The benchmark of the memory as a user runs it, at a tiny size; times are not asserted."""

import json
from pathlib import Path

import pytest
from tool_runs import run_apart

TINY = {
    "num-samples": 4000,
    "small-samples": 1000,
    "num-clusters": 40,
    "feature-dim": 32,
    "batch-size": 64,
    "iterations": 20,
    "warmup": 2,
    "compare-iterations": 60,
    "drift-iterations": 60,
    "dissolves": 2,
    "threads": 1,
}


def call(*arguments):
    return run_apart("benchmarks/odc_memory.py", *arguments)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux")
@pytest.mark.parametrize("metric", ["l2", pytest.param("dot", marks=pytest.mark.slow)])
def test_answers_of_the_reference_and_no_drift(tmp_path, metric):
    file = tmp_path / "result.json"
    sizes = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    run = call(*sizes, "--metric", metric, "--json", file)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(file.read_text())

    answers = result["answers"]
    assert answers["differing_labels"] == 0
    assert answers["changed_labels"] > 0  # or else nothing was compared
    drift = result["drift"]
    assert drift["max_abs_difference"] < 1e-12
    assert drift["running_sums_equal_recompute"] and drift["counts_equal_recompute"]

    assert {"command", "date", "machine", "versions", "settings", "peak"} <= result.keys()
    for name in ("bookkeeping", "product", "refresh"):
        assert result["times_ms"][f"ours_{name}"]["median"] > 0
        assert result["times_ms"][f"small_{name}"]["median"] > 0
    counted = result["times_ms"]["ours_bookkeeping"]["runs"]
    dissolving = result["times_ms"].get("ours_dissolving", {"runs": 0})["runs"]
    assert counted + dissolving == TINY["iterations"]
    assert result["times_ms"]["reference_recompute"]["runs"] == 2
    assert result["dissolving_one_cluster_ms"]["runs"] == TINY["dissolves"]
    assert set(result["targets"]) == {
        "bookkeeping_ms",
        "reference_bookkeeping_over_ours",
        "product_with_argmax_over_bare_product",
        "step_at_n_over_step_at_small_n",
        "bookkeeping_at_n_over_bookkeeping_at_small_n",
        "peak_memory_over_bank",
        "drift",
        "differing_labels",
    }
    for name in result["targets"]:
        assert name in run.stdout


def test_sizes_that_cannot_be_are_refused():
    run = call("--num-samples", 100, "--num-clusters", 200)
    assert run.returncode == 2
    assert "must be at least --num-clusters" in run.stderr
