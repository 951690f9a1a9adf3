"""Checkpoint files: the old or the new one at any instant, plain values, a pointer that moves."""

import os

import pytest
import torch
from mmengine.logging import MessageHub

from mmdeepcluster.engine import ConfigError, read_checkpoint
from mmdeepcluster.engine.checkpoint_io import (
    find_last_checkpoint,
    hub_state,
    load_hub_state,
    move_pointer,
    write_atomically,
)


def test_round_trip(tmp_path):
    data = {"tensor": torch.arange(3), "number": 1.5, "text": "a", "nested": {"list": [1, 2]}}
    write_atomically(tmp_path / "a.pth", data)
    loaded = read_checkpoint(tmp_path / "a.pth")
    assert torch.equal(loaded.pop("tensor"), data.pop("tensor"))
    assert loaded == data
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("step", ["save", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.pth"
    write_atomically(path, {"version": 1})

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if step == "save":
        monkeypatch.setattr(torch, "save", fail)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, {"version": 2})
    monkeypatch.undo()
    assert read_checkpoint(path) == {"version": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.pth"]


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ConfigError, match=r"text.pth cannot be read"):
        read_checkpoint(tmp_path / "text.pth")
    torch.save(torch.zeros(2), tmp_path / "tensor.pth")
    with pytest.raises(ConfigError, match="holds a Tensor, not a dict"):
        read_checkpoint(tmp_path / "tensor.pth")


def checkpoint(run, iteration):
    return {"meta": {"iter": iteration}, "hook_state": {"checkpoints": {"run": run}}}


class TestNewestCheckpoint:
    """R13: killed at any instant, --resume continues from the newest complete file of the run."""

    @pytest.fixture
    def folder(self, tmp_path):
        # An earlier run "a" got further than the run "b" that the pointer belongs to.
        for name, run, iteration in (
            ("epoch_9.pth", "a", 90),
            ("epoch_1.pth", "b", 10),
            ("epoch_2.pth", "b", 20),
        ):
            write_atomically(tmp_path / name, checkpoint(run, iteration))
        move_pointer(tmp_path, "epoch_2.pth")
        return tmp_path

    def test_is_the_one_pointed_to(self, folder):
        assert find_last_checkpoint(folder) == folder / "epoch_2.pth"

    def test_is_the_one_that_the_pointer_was_about_to_name(self, folder):
        write_atomically(folder / "iter_25.pth", checkpoint("b", 25))
        assert find_last_checkpoint(folder) == folder / "iter_25.pth"

    @pytest.mark.parametrize("damage", ["truncated", "missing"])
    def test_is_the_newest_that_can_be_read(self, folder, damage):
        newest = folder / "epoch_2.pth"
        os.utime(folder / "epoch_9.pth", (1, 1))
        if damage == "missing":
            newest.unlink()
        else:
            newest.write_bytes(newest.read_bytes()[:-100])
        assert find_last_checkpoint(folder) == folder / "epoch_1.pth"

    def test_nothing_that_can_be_read_is_an_error(self, folder):
        for path in folder.glob("*.pth"):
            path.write_bytes(b"no checkpoint")
        with pytest.raises(ConfigError, match=r"no checkpoint in .* can be read: .*epoch_"):
            find_last_checkpoint(folder)


def test_pointer_survives_a_move_of_the_folder(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    assert find_last_checkpoint(old) is None
    write_atomically(old / "epoch_3.pth", checkpoint("a", 3))
    write_atomically(old / "last_checkpoint", str(old / "epoch_3.pth"))
    assert find_last_checkpoint(old) == old / "epoch_3.pth"
    new = old.rename(tmp_path / "new")
    assert find_last_checkpoint(new) == new / "epoch_3.pth"


def test_scalars_of_the_hub_become_tensors(tmp_path):
    hub = MessageHub("test_scalars_of_the_hub_become_tensors")
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar("train/loss", value)
    write_atomically(tmp_path / "hub.pth", hub_state(hub))
    other = MessageHub("test_scalars_of_the_hub_become_tensors_2")
    load_hub_state(other, read_checkpoint(tmp_path / "hub.pth"))
    assert other.get_scalar("train/loss").mean(2) == 3.0
