"""Sweeps over a grid; a small program stands for the training, so that a run costs nothing."""

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdeepcluster.apis import load_sweep, run_sweep
from mmdeepcluster.engine import ConfigError, resolve_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "analysis_tools" / "sweep.py"
DIGITS = ROOT / "configs" / "deepcluster" / "deepcluster_lenet5_digits.py"

# Reads its config as a training does, notes the call, and writes a report.
TRAINING = """
import json, signal, sys, time
from pathlib import Path

_, config, _, work_dir, resume = sys.argv
assert resume == "--resume"
work_dir = Path(work_dir)
cfg = {}
exec(Path(config).read_text(), cfg)
assert cfg["_base_"][0].endswith("base.py")
with (work_dir.parent / "calls.txt").open("a") as file:
    file.write(work_dir.name + "\\n")
k, seed = cfg.get("model", {}).get("num_clusters", 3), cfg["randomness"]["seed"]
if k == 13:
    print("a warning", file=sys.stderr)
    print("error: model.num_clusters=13 is unlucky", file=sys.stderr)
    print("and a last line", file=sys.stderr)
    sys.exit(1)
if k == 99:
    def stop(*_):
        (work_dir / "saved").write_text("checkpoint")
        sys.exit(3)
    signal.signal(signal.SIGTERM, stop)
    (work_dir / "started").write_text("")
    time.sleep(60)
report = {
    "probe": {"accuracy": k / 100 + seed / 1000},
    "knn": None,
    "memory": {"nmi": 1 - k / 100, "ami": float("nan")},
    "initial": {"nmi": 0.1 * seed},
}
(work_dir / "report.json").write_text(json.dumps(report))
"""


@pytest.fixture
def sweep(tmp_path):
    """Writes a sweep file and runs it; gives the results."""
    training = tmp_path / "training.py"
    training.write_text(TRAINING)
    (tmp_path / "base.py").write_text("model = dict(num_clusters=3)\nrandomness = dict(seed=0)\n")

    def run(jobs=1, **content):
        file = tmp_path / "sweep.py"
        settings = {"config": "base.py", **content}
        file.write_text("".join(f"{key} = {value!r}\n" for key, value in settings.items()))
        return run_sweep(file, tmp_path / "out", [sys.executable, str(training)], jobs)

    run.out = tmp_path / "out"
    run.calls = lambda: (tmp_path / "out" / "calls.txt").read_text().split()
    return run


GRID = {"model.num_clusters": [5, 20]}


def test_every_value_with_every_seed_in_a_dir_of_its_own_r34(sweep):
    results = sweep(grid=GRID, seeds=[1, 2], jobs=2)
    names = [f"num_clusters={k}_seed={seed}" for k in (5, 20) for seed in (1, 2)]
    assert [result["name"] for result in results] == names
    assert sorted(sweep.calls()) == sorted(names)
    for result in results:
        k, seed = result["settings"]["model.num_clusters"], result["seed"]
        report = json.loads((sweep.out / result["name"] / "report.json").read_text())
        assert report["probe"]["accuracy"] == pytest.approx(k / 100 + seed / 1000)


def test_tables_and_figure(sweep):
    sweep(grid=GRID, seeds=[1, 2, 4])
    with (sweep.out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {row["status"] for row in rows} == {"done"}
    assert [row["model.num_clusters"] for row in rows] == ["5"] * 3 + ["20"] * 3
    assert float(rows[4]["probe.accuracy"]) == pytest.approx(0.202)
    assert rows[0]["knn.accuracy"] == "" and rows[0]["memory.ami"] == ""  # none and NaN
    text = (sweep.out / "results.md").read_text()
    assert "6 of 6 runs done, 0 failed" in text
    assert "| 20 | 3 | 0.2020 (0.2010 to 0.2040) | 0.8000 |" in text
    found = json.loads((sweep.out / "results.json").read_text())
    assert found["groups"][0]["measures"]["probe.accuracy"]["median"] == pytest.approx(0.052)
    assert (sweep.out / "results.png").stat().st_size > 1000


def test_initial_alignment_and_accuracy_by_seed_r36(sweep):
    sweep(seeds=[3, 1, 2])
    (group,) = json.loads((sweep.out / "results.json").read_text())["groups"]
    # the program's accuracy rises with the seed, as its alignment does; its NMI does not change
    assert group["spearman_with_initial_alignment"]["probe.accuracy"] == pytest.approx(1)
    assert group["spearman_with_initial_alignment"]["memory.nmi"] is None
    rows = json.loads((sweep.out / "results.json").read_text())["runs"]
    assert [(row["seed"], round(row["initial.nmi"], 3)) for row in rows] == [
        (3, 0.3),
        (1, 0.1),
        (2, 0.2),
    ]
    assert "probe.accuracy: +1.000 over 3 seeds" in (sweep.out / "results.md").read_text()
    assert (sweep.out / "results.png").stat().st_size > 1000


def test_two_seeds_have_no_rank_correlation_r36(sweep):
    sweep(seeds=[1, 2])
    (group,) = json.loads((sweep.out / "results.json").read_text())["groups"]
    assert set(group["spearman_with_initial_alignment"].values()) == {None}


def test_a_failed_run_is_listed_and_does_not_stop_the_rest(sweep):
    results = sweep(grid={"model.num_clusters": [13, 20]})
    assert [result["status"] for result in results] == ["failed", "done"]
    assert results[0]["error"].startswith("model.num_clusters=13 is unlucky (exit code 1, ")
    text = (sweep.out / "results.md").read_text()
    assert "1 of 2 runs done, 1 failed" in text
    assert "- num_clusters=13_seed=0: model.num_clusters=13 is unlucky" in text


def test_what_has_ended_is_not_run_again_and_what_failed_is(sweep):
    first = sweep(grid={"model.num_clusters": [13, 20]})
    again = sweep(grid={"model.num_clusters": [13, 20, 7]})
    assert sweep.calls() == [
        "num_clusters=13_seed=0",
        "num_clusters=20_seed=0",
        "num_clusters=13_seed=0",
        "num_clusters=7_seed=0",
    ]
    assert again[1]["report"] == first[1]["report"]


def test_runs_of_other_settings_are_not_taken_for_these(sweep):
    sweep(grid=GRID, fixed={"model.depth": 1})
    with pytest.raises(ConfigError, match=r"is a run of other settings .*give another --out"):
        sweep(grid=GRID, fixed={"model.depth": 2})


@pytest.mark.slow
def test_an_interrupted_sweep_lets_its_trainings_save(tmp_path, sweep):
    (tmp_path / "sweep.yaml").write_text(
        "config: base.py\nseeds: [1, 2]\nfixed: {model.num_clusters: 99}\n"
    )
    code = (
        "import signal, sys; from mmdeepcluster.apis import run_sweep;"
        "signal.signal(signal.SIGTERM, signal.default_int_handler);"
        "run_sweep('sweep.yaml', 'out', [sys.executable, 'training.py'])"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
    )
    started = tmp_path / "out" / "seed=1" / "started"
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    assert (tmp_path / "out" / "seed=1" / "saved").exists()
    assert not (tmp_path / "out" / "seed=2").exists()  # none is started any more


class TestSweepFiles:
    def load(self, tmp_path, text, name="sweep.yaml"):
        (tmp_path / "base.py").write_text("model = dict(transform=dict(type='A', a=1), k=2)\n")
        (tmp_path / name).write_text(text)
        return load_sweep(tmp_path / name)

    def config(self, tmp_path, plan, number):
        path = tmp_path / "run.py"
        path.write_text(plan.config_text(plan.runs[number]))
        return Config.fromfile(path)

    def test_yaml_with_values_of_any_kind(self, tmp_path):
        plan = self.load(
            tmp_path,
            "config: base.py\n"
            "grid:\n  model.transform: [null, {type: B, dim: 40}]\n  lr: [0.1, 1.0e-3]\n"
            "fixed: {model.k: 7}\nseeds: [3]\n",
        )
        assert [run.name for run in plan.runs] == [
            "transform=None_lr=0.1_seed=3",
            "transform=None_lr=0.001_seed=3",
            "transform=B-40_lr=0.1_seed=3",
            "transform=B-40_lr=0.001_seed=3",
        ]
        first, last = (self.config(tmp_path, plan, number) for number in (0, 3))
        assert first.model.transform is None
        # a dict replaces what the config has, and does not mix with it
        assert last.model.transform.to_dict() == {"type": "B", "dim": 40}
        assert (last.model.k, last.lr, last.randomness.seed) == (7, 0.001, 3)

    def test_keys_that_end_alike_are_told_apart(self, tmp_path):
        plan = self.load(tmp_path, "config: base.py\ngrid: {a.lr: [1], b.lr: [2]}\n")
        assert plan.runs[0].name == "a.lr=1_b.lr=2_seed=0"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("grid: {}\n", "of which config must be there; got grid"),
            ("config: base.py\ngird: {}\n", "a sweep file has the keys config, grid"),
            ("config: none.py\n", r"config .*none.py does not exist"),
            ("config: base.py\ngrid: {k: 5}\n", r"grid.k must be a list of values, got 5"),
            ("config: base.py\ngrid: {k: []}\n", r"grid.k must be a list of values, got \[\]"),
            ("config: base.py\ngrid: [k]\n", r"grid must map dotted keys to values"),
            ("config: base.py\ngrid: {a.0.b: [1]}\n", r"grid.a.0.b is no dotted key"),
            ("config: base.py\nseeds: 5\n", r"seeds must be a list of integers, got 5"),
            ("config: base.py\nseeds: [1, 1]\n", r"two runs are called seed=1"),
            ("config: base.py\ngrid: {k: [1]}\nfixed: {k: 1}\n", "k is set twice"),
            ("config: base.py\nfixed: {randomness.seed: 1}\n", "seeds stand under 'seeds'"),
            ("config: [\n", "cannot be read"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, tmp_path, text, message):
        with pytest.raises(ConfigError, match=message):
            self.load(tmp_path, text)

    def test_a_missing_file_and_no_jobs(self, tmp_path, sweep):
        with pytest.raises(ConfigError, match="does not exist"):
            load_sweep(tmp_path / "none.yaml")
        with pytest.raises(ConfigError, match="--jobs must be >= 1, got 0"):
            sweep(jobs=0)


# Name: number of settings (R34, R36 to R38, R40).
SHIPPED = {
    "alexnet_halting_cifar10": 4,
    "alexnet_pca_cifar10": 4,
    "clusters_cifar10": 4,
    "clusters_fmnist": 7,
    "clusters_svhn": 4,
    "grid_cifar10": 24,
    "grid_fmnist": 4 * 3 * 3 * 4 * 3 * 3 * 2,
    "grid_svhn": 4 * 3 * 3 * 5 * 4 * 3,
    "halting_cifar10": 5,
    "halting_fmnist": 4,
    "halting_svhn": 5,
    "seeds_cifar10": 1,
    "seeds_fmnist": 1,
    "seeds_svhn": 1,
}
SWEEPS = ROOT / "configs" / "deep_dive" / "sweeps"


def test_shipped_sweeps_have_their_sizes_r34():
    assert {path.stem for path in SWEEPS.iterdir()} == set(SHIPPED)
    for name, number in SHIPPED.items():
        plan = load_sweep(SWEEPS / f"{name}.yaml")
        assert len(plan.runs) == number * len(plan.seeds), name


@pytest.mark.parametrize("name", SHIPPED)
def test_configs_of_shipped_sweeps_are_sound(name, tmp_path):
    plan = load_sweep(SWEEPS / f"{name}.yaml")
    numbers = (0, len(plan.runs) // 2, len(plan.runs) - 1)
    for number in numbers:
        path = tmp_path / f"{number}.py"
        path.write_text(plan.config_text(plan.runs[number]))
        # the digits stand in for the real set: keys and values are checked, not the images
        digits = {"dataset": {"type": "Digits", "split": "train", "_delete_": True}}
        small = {"model.num_clusters": 5} | digits
        resolved = resolve_config(path, small)
        assert resolved.cfg.randomness.seed == plan.runs[number].seed


def test_the_tool_lists_what_it_would_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(SWEEPS / "halting_svhn.yaml"), "--list"])
    runpy.run_path(str(TOOL), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{len(lines) - 1} runs of svhn_alexnet_micro.py"
    assert "halt_after=30_seed=1" in lines


@pytest.mark.slow
def test_real_trainings(tmp_path):
    """Two of digits, one of which cannot be."""
    (tmp_path / "sweep.yaml").write_text(
        f"config: {DIGITS}\n"
        "grid: {model.num_clusters: [12, 5000]}\n"
        "fixed: {train_cfg.max_epochs: 1, train_dataloader.num_workers: 0,\n"
        "        evaluation.probe_layer: conv_2.flat}\n"
    )
    command = [sys.executable, TOOL, tmp_path / "sweep.yaml", "--out", tmp_path / "out"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)
    assert result.returncode == 1
    assert "model.num_clusters=5000 exceeds the 1437 images" in result.stdout
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert 0.5 < rows[0]["probe.accuracy"] < 1
