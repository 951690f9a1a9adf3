"""``python -m benchmarks`` and the scripts that it runs, at tiny sizes; times are not asserted."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import benchmarks.__main__  # noqa: E402
from benchmarks import SCRIPTS, Script  # noqa: E402
from benchmarks.__main__ import print_table, run, why_not  # noqa: E402


def call(*arguments):
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def small(tmp_path, name, *arguments):
    """Calls a script in this process, which has imported what takes seconds."""
    file = tmp_path / "result.json"
    importlib.import_module(name).main(["--small", "--json", str(file), *map(str, arguments)])
    result = json.loads(file.read_text())
    head = {"command", "date", "machine", "versions", "settings", "peak_bytes"}
    assert head <= result.keys() and result["peak_bytes"]["process"] > 2**20
    for row in result.get("targets", {}).values():
        assert {"value", "limit", "met"} <= row.keys()
    return result


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that no script changes it for later tests


@pytest.mark.slow
def test_training_loop(tmp_path):
    result = small(tmp_path, "training_loop", "--parts", "loop", "growth")
    assert result["growth"]["iterations"] == 40 and len(result["growth"]["tensors"]) == 4
    for found in result["loop"].values():
        assert found["ratio_by_wall_time"]["runs"] == 2
        assert min(found["milliseconds_per_iteration"]["ours"].values()) > 0


@pytest.mark.slow
def test_training_loop_with_the_loader(tmp_path):
    result = small(tmp_path, "training_loop", "--parts", "loader")
    assert set(result["loader"]) == {"2 data workers", "images held"}
    for found in result["loader"].values():
        rates = found["images_per_second"]
        assert set(rates) == {"loader", "step", "both"} and min(rates.values()) > 0


def test_lightly_step(tmp_path):
    pytest.importorskip("lightly", reason="a peer, which the tests do not install")
    result = small(tmp_path, "lightly_step")
    rates = result["views_per_second"]
    assert set(rates) == {"ODC", "SimCLR of lightly"} and min(rates.values()) > 0


def test_cycle(tmp_path):
    result = small(tmp_path, "cycle")
    assert len(result["cycles"]) == 3
    cycle = result["cycles"][-1]
    assert result["num_samples"] == 1437 and cycle["train"] > 0 and cycle["extract"] > 0
    shares = [cycle[f"training share_{name}"] for name in ("step", "data", "rest")]
    assert sum(shares) == pytest.approx(1.0)
    assert set(result["extraction"]) == {"bare", "ours"}


@pytest.mark.slow
def test_report_page(tmp_path):
    pytest.importorskip("playwright")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium on the PATH")
    result = small(tmp_path, "report_page")
    assert 0.05 < result["megabytes"] < 5 and result["load_seconds"]["median"] > 0
    assert set(result["scroll_milliseconds"]) == {"#cluster-list", "#epoch-list"}
    assert all(row["frames"] == 30 for row in result["scroll_milliseconds"].values())


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


SCRIPT = """
import json, sys
assert sys.argv[1] == "--small", "other arguments"
with open(sys.argv[-1], "w") as file:
    json.dump({"targets": {"a figure": {"value": 2.0, "limit": "<= 1", "met": False}}}, file)
"""


def test_one_run_has_its_peak_and_a_failure_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "one.py").write_text(SCRIPT)
    monkeypatch.setattr(benchmarks.__main__, "ROOT", tmp_path)
    found = run(Script("one", ""), True, None, 5.0)
    assert found["result"]["targets"]["a figure"]["value"] == 2.0
    assert found["peak_bytes"] > 2**20 and found["wall_seconds"] > 0
    assert 0 <= found["foreign"] <= 1 and min(found["calibrator_gflops"]) > 0
    failed = run(Script("one", "", quick=("--other",)), True, None, 5.0)
    assert failed["failed"] == "exit status 1" and "other arguments" in failed["output"]
    (tmp_path / "benchmarks" / "two.py").write_text("import time; time.sleep(60)")
    late = run(Script("two", ""), True, None, 0.5 / 60)
    assert late["failed"] == "took too long"
    print_table({"one": found, "two": late}, {"three": "needs four"})
    table = capsys.readouterr().out
    for words in ("a figure", "MISSED", "FAILED: took too long", "left out: needs four"):
        assert words in table
