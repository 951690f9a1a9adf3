"""The benchmark of k-means as a user runs it, at a tiny size; times are not asserted."""

import json

import pytest
from tool_runs import run_apart


def call(*arguments):
    return run_apart("benchmarks/kmeans.py", *arguments)


@pytest.mark.slow
def test_answers_and_keys(tmp_path):
    file = tmp_path / "result.json"
    run = call("--small", "--rounds", 1, "--json", file)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(file.read_text())
    assert {"command", "date", "machine", "versions", "settings", "arithmetic"} <= result.keys()
    assert len(result["shapes"]) == 2
    for shape in result["shapes"].values():
        ours = shape["quality"]["ours"]
        assert ours["wrong_labels"] == 0 and ours["empty_clusters"] == 0
        assert abs(ours["objective_over_fp32_lloyd_minus_1"]) < 0.02
        assert shape["seconds"]["ours"]["runs"] == 1
        assert 0 <= shape["rescored"]["last"] <= 1
    assert [warm["drift"] for warm in result["warm"]] == [0.1, 0.3]
    processes = result["processes"]
    assert processes["labels_equal"] and processes["centroids_equal"]
    assert 0 < processes["bytes_per_rank_and_iteration"] <= processes["limit"]
    for name in result["targets"]:
        assert name in run.stdout


def test_shapes_that_cannot_be_are_refused():
    run = call("--shapes", "100,8,200")
    assert run.returncode == 2
    assert "'100,8,200' is not N,D,K" in run.stderr
