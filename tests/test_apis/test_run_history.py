"""The scalars of a work dir (R54): several starts are one curve."""

import json

import pytest

from mmdeepcluster.apis.run_history import read_scalars
from mmdeepcluster.engine import ConfigError


def write(work_dir, start, rows, end=""):
    folder = work_dir / start / "vis_data"
    folder.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows) + end
    (folder / "scalars.json").write_text(text)


def test_a_resumed_run_replaces_what_it_did_again(tmp_path):
    # killed after iteration 30 (epoch 3); the checkpoint was of epoch 1, iteration 10
    first = [{"loss": 3.0 - step / 10, "step": step} for step in (10, 20, 30)]
    first += [{"epoch/nmi": 0.1 * epoch, "step": epoch} for epoch in (1, 2, 3)]
    write(tmp_path, "20260101_000000", first, end='{"loss": 1.0, "st')
    again = [{"loss": 9.0, "step": 20}, {"epoch/nmi": 0.9, "step": 2}, {"lr": 0.1, "step": 20}]
    write(tmp_path, "20260101_000001", again)
    found = read_scalars(tmp_path)
    assert found["loss"] == ([10, 20], [2.0, 9.0])
    assert found["epoch/nmi"] == ([1, 2], [0.1, 0.9])
    assert found["lr"] == ([20], [0.1])


def test_not_a_number_stays_one(tmp_path):
    write(tmp_path, "a", [{"epoch/nmi_previous": float("nan"), "step": 1}])
    steps, values = read_scalars(tmp_path)["epoch/nmi_previous"]
    assert steps == [1] and values[0] != values[0]


def test_what_is_no_work_dir(tmp_path):
    with pytest.raises(ConfigError, match="is no folder"):
        read_scalars(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"has no <timestamp>/vis_data/scalars\.json"):
        read_scalars(tmp_path)
    write(tmp_path, "a", [{"loss": 1.0}, {"loss": 1.0, "step": 2}])
    with pytest.raises(ConfigError, match="line 1: no scalars of a training"):
        read_scalars(tmp_path)
