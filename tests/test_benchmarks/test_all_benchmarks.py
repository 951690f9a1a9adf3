"""``python -m benchmarks`` and the scripts that it runs, at tiny sizes; times are not asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import SCRIPTS, Script  # noqa: E402
from benchmarks.__main__ import run, why_not  # noqa: E402


def call(*arguments):
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def small(tmp_path, name, *arguments):
    file = tmp_path / "result.json"
    printed = call(f"benchmarks/{name}.py", "--small", "--json", file, *arguments)
    result = json.loads(file.read_text())
    head = {"command", "date", "machine", "versions", "settings", "peak_bytes"}
    assert head <= result.keys() and result["peak_bytes"]["process"] > 2**20
    for figure, row in result.get("targets", {}).items():
        assert figure in printed and {"value", "limit", "met"} <= row.keys()
    return result


def test_training_loop(tmp_path):
    result = small(tmp_path, "training_loop", "--iterations", 40)
    assert result["growth"]["iterations"] == 40 and len(result["growth"]["tensors"]) == 4
    for found in result["loop"].values():
        assert found["ratio_by_wall_time"]["runs"] == 2
        assert min(found["milliseconds_per_iteration"]["ours"].values()) > 0
    rates = result["loader"]["images_per_second"]
    assert set(rates) == {"loader", "step", "both"} and min(rates.values()) > 0


def test_cycle(tmp_path):
    result = small(tmp_path, "cycle")
    (cycle,) = result["cycles"]
    assert result["num_samples"] == 1437 and cycle["train"] > 0 and cycle["extract"] > 0
    shares = [cycle[f"training share_{name}"] for name in ("step", "data", "rest")]
    assert sum(shares) == pytest.approx(1.0)
    assert set(result["extraction"]) == {"bare", "ours"}


def test_label_swap(tmp_path):
    assert small(tmp_path, "label_swap")["seconds"]["ours"]["wall"]["runs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kmeans_ranks", "step_options", "threads"])
def test_others(tmp_path, name):
    small(tmp_path, name)


def test_every_script_is_there_and_none_is_forgotten():
    helpers = {"harness", "scaling_fit", "scaling_grid", "scaling_measure", "scaling_model"}
    helpers |= {"scaling_problem", "scaling_tables", "__init__", "__main__"}
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - helpers
    assert {script.name for script in SCRIPTS} == files
    printed = call("-m", "benchmarks", "--list")
    assert all(script.name in printed for script in SCRIPTS)


def test_what_does_not_fit_is_left_out_with_a_reason(tmp_path):
    assert why_not(Script("x", ""), False, None) is None
    assert "needs no_such_module: pip" in why_not(
        Script("x", "", packages=("no_such_module",)), True, None
    )
    assert "needs 999 cores, there are" in why_not(Script("x", "", cores=999), True, None)
    assert "needs 1e+06 GiB" in why_not(Script("x", "", gib=1e6), False, None)
    wants = Script("x", "", data="cifar")
    assert "needs cifar in --data" in why_not(wants, False, tmp_path)
    assert why_not(wants, True, tmp_path) is None
    (tmp_path / "cifar").mkdir()
    assert why_not(wants, False, tmp_path) is None


def test_one_run_has_its_peak_and_a_failure_is_told():
    found = run(Script("label_swap", ""), True, None, 5.0)
    assert found["result"]["targets"] and found["peak_bytes"] > 2**20 and found["wall_seconds"] > 0
    assert 0 <= found["foreign"] <= 1 and min(found["calibrator_gflops"]) > 0
    failed = run(Script("label_swap", "", quick=("--num-samples", "x")), True, None, 5.0)
    assert failed["failed"] == "exit status 2" and "invalid int value" in failed["output"]
