"""The scaling benchmark as a user runs it, at tiny sizes; times are not asserted."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scaling
from scaling_grid import giga, timed
from scaling_measure import CLOCKS, backbone_sizes, make_rows
from scaling_tables import MARKER, clock_of, replace_tables, text_of_tables

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux"
)


@LINUX
def test_measures_and_fits_all_phases(tmp_path):
    file = tmp_path / "result.json"
    scaling.main(["--small", "--folder", str(tmp_path), "--json", str(file)])
    result = json.loads(file.read_text())
    phases = {one["phase"] for one in result["measurements"]}
    assert phases == {
        "k-means",
        "PCA fit",
        "PCA apply",
        "pick rows",
        "extraction alone",
        "labels and sampler",
        "draws of an epoch",
        "checkpoint of labels",
    }
    for one in result["measurements"]:
        assert one["wall"] > 0 and one["fp32_gflops"] > 0 and one["bf16_gflops"] > 0
    for clock in CLOCKS:
        assert min(result["coefficients"][clock].values()) >= 0
        assert result["errors"][clock].keys() == phases
    assert result["sizes"]["matrices"] > 2  # two are held throughout
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]  # no rows are left
    text = text_of_tables(result)
    assert "| 96M | 320k | 4096 | 512 |" in text and "nan" not in text


@LINUX
@pytest.mark.slow
def test_larger_run_is_predicted_and_measured(tmp_path):
    file = tmp_path / "result.json"
    command = [sys.executable, "benchmarks/scaling.py", "--small", "--check", "--json", str(file)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    check = json.loads(file.read_text())["check"]
    assert sum(check["measured"]["super_clusters"]) == 20_000
    assert check["measured"]["empty"] == 0
    assert check["within_8_GiB"]
    assert check["measured_over_predicted"] > 0


def test_fewer_rows_are_a_prefix_of_more(tmp_path):
    few = np.array(make_rows(tmp_path / "few.npy", 100, 5))
    more = make_rows(tmp_path / "more.npy", 150, 5)
    assert isinstance(more, np.memmap)
    assert np.array_equal(few, more[:100])
    np.testing.assert_allclose(np.linalg.norm(more, axis=1), 1.0, rtol=1e-6)


def test_parameters_of_the_backbone():
    """13 convolutions with batch norm on 2 Sobel maps, 25088 -> 4096 -> 4096 (R20)."""
    widths = [2, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(9 * a * b for a, b in pairwise(widths))
    norms = 2 * sum(widths[1:])
    layers = 25_088 * 4096 + 4096 + 4096 * 4096 + 4096
    assert backbone_sizes()["parameters"] == convolutions + norms + layers  # 134,264,192


def test_document_holds_the_tables_of_the_stored_figures():
    """docs/scaling.md is regenerated when docs/results/scaling.json changes."""
    stored = json.loads((ROOT / "docs/results/scaling.json").read_text())
    assert text_of_tables(stored) in (ROOT / "docs/scaling.md").read_text()


def test_tables_replace_those_between_the_markers(tmp_path):
    document = tmp_path / "document.md"
    document.write_text(f"before\n{MARKER}\nold\n{MARKER}\nafter\n")
    replace_tables(document, "new")
    assert document.read_text() == f"before\n{MARKER}\n\nnew\n\n{MARKER}\nafter\n"
    document.write_text("nothing")
    with pytest.raises(ValueError, match=r"must hold .* twice"):
        replace_tables(document, "new")


@pytest.mark.parametrize(
    ("foreign", "threads", "clock"), [(0.5, 1, "processor"), (0.5, 2, "wall"), (0.01, 1, "wall")]
)
def test_processor_time_counts_where_one_thread_shared_the_machine(foreign, threads, clock):
    measured = [{"wall": 1.0, "foreign": foreign}, {"wall": 0.01, "foreign": 1.0}]
    assert clock_of({"measurements": measured, "machine": {"threads": threads}}) == clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.004, "< 0.01 s"), (1.25, "1.2 s"), (120, "2 min"), (86400 * 150, "150 d")],
)
def test_times_are_written_in_the_unit_that_fits(seconds, text):
    assert timed(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(5e6, "0.005"), (1.234e9, "1.2"), (63e9, "63.0"), (1.5724e12, "1,572")]
)
def test_sizes_are_written_in_gigabytes(size, text):
    assert giga(size) == text
