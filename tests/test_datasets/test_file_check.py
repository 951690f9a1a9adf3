"""Ranks share the check of the files and come to the same answer (R60)."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch.distributed
import torch.multiprocessing

from mmdeepcluster.datasets import ImageFolder, ImageList, file_check, image_files
from mmdeepcluster.datasets.file_check import check_files

COUNT = 150
BROKEN = (0, 31, 32, 64, 100, 149)
FINDINGS = ".list.txt.mmdeepcluster-findings"


def answers_of_ranks(monkeypatch, names, defect, world_size):
    """Runs check_files on threads that stand for ranks."""
    this, barrier = threading.local(), threading.Barrier(world_size, timeout=20)
    slots, answers = [None] * world_size, [None] * world_size

    def gather(data):
        slots[this.rank] = data
        barrier.wait()
        gathered = list(slots)
        barrier.wait()
        return gathered

    def run(rank):
        this.rank = rank
        answers[rank] = list(check_files(names, defect, 2))

    monkeypatch.setattr(file_check, "get_dist_info", lambda: (this.rank, world_size))
    monkeypatch.setattr(file_check, "all_gather_object", gather)
    ranks = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    return answers


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 1000])
def test_any_number_of_ranks_finds_the_same_and_each_name_is_seen_once(
    monkeypatch, world_size, count
):
    monkeypatch.setattr(file_check, "_ROUND", 64)  # many meetings of the ranks
    names = [f"{number}" for number in range(count)]
    seen = []

    def defect(name):
        seen.append(name)
        return f"bad {name}" if int(name) % 7 == 0 else None

    expected = [(number, f"bad {number}") for number in range(0, count, 7)]
    answers = answers_of_ranks(monkeypatch, names, defect, world_size)
    assert answers == [expected] * world_size
    assert sorted(seen, key=int) == names


def test_ranks_take_equal_parts_of_the_cores(monkeypatch):
    threads = []

    class Executor(file_check.ThreadPoolExecutor):
        def __init__(self, count, **options):
            threads.append(count)
            super().__init__(count, **options)

    monkeypatch.setattr(file_check, "ThreadPoolExecutor", Executor)
    monkeypatch.setattr(file_check, "default_num_threads", lambda: 8)
    monkeypatch.setattr(file_check, "get_dist_info", lambda: (0, 4))
    monkeypatch.setattr(file_check, "all_gather_object", lambda data: [data] * 4)
    for local_ranks in ("4", "16"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local_ranks)
        list(check_files([], str))
    monkeypatch.setattr(file_check, "get_dist_info", lambda: (0, 1))
    list(check_files([], str))
    assert threads == [2, 1, 8]


def make_data(save_image, cut) -> Path:
    """A folder of images of which some are broken, and a list file of the same, backwards."""
    for number in range(COUNT):
        path = save_image(f"images/{number:03d}.png")
        if number in BROKEN:
            cut(path)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    root = path.parent.parent
    lines = [f"images/{number:03d}.png {number}\n" for number in reversed(range(COUNT))]
    (root / "list.txt").write_text("".join(lines))
    return root


def look(root: Path) -> dict:
    """What a process sees of the data, and how many files it decodes for that."""
    (root / FINDINGS).unlink(missing_ok=True)
    decoded = []
    real = image_files.find_defect
    image_files.find_defect = lambda path: decoded.append(path) or real(path)
    try:
        folder = ImageFolder(root / "images", unreadable="skip")
        listed = ImageList(root / "list.txt", labels=True, unreadable="skip")
        try:
            ImageList(root / "list.txt", labels=True)
            message = ""
        except ValueError as error:
            message = str(error)
    finally:
        image_files.find_defect = real
    return {
        "folder": [folder.sample_name(i) for i in range(len(folder))],
        "left out": [list(pair) for data in (folder, listed) for pair in data.left_out()],
        "list": [listed.sample_name(i) for i in range(len(listed))],
        "labels": listed.eval_labels.tolist(),
        "fingerprints": [folder.fingerprint(), listed.fingerprint()],
        "message": message,
        "decoded": len(decoded),
    }


def look_as_rank(rank: int, world_size: int, root: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{root / 'meeting'}", rank=rank, world_size=world_size
    )
    result = look(root)
    try:
        ImageFolder(root / ("images" if rank else "other"))
    except RuntimeError as error:
        result["disagreement"] = str(error)
    (root / f"rank{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


def test_two_processes_share_the_check(save_image, cut):
    root = make_data(save_image, cut)
    save_image("other/one.png")
    alone = look(root)
    kept = [number for number in range(COUNT) if number not in BROKEN]
    assert alone["folder"] == [f"{number:03d}.png" for number in kept]
    assert alone["labels"] == kept[::-1]
    assert "6 of 150 images" in alone["message"] and "149.png" in alone["message"]
    # the list's second use finds what the first one did
    assert alone.pop("decoded") == 2 * COUNT
    torch.multiprocessing.start_processes(look_as_rank, (2, root), 2, start_method="fork")
    ranks = [json.loads((root / f"rank{rank}.json").read_text()) for rank in range(2)]
    decoded = [rank.pop("decoded") for rank in ranks]
    assert sum(decoded) == 2 * COUNT and min(decoded) > 0.6 * COUNT
    for rank in ranks:
        assert "the ranks see different data: [1, 150] images" in rank.pop("disagreement")
        assert rank == alone


def test_left_out_images_at_any_place(tmp_path, save_image, cut):
    """Positions are found by bisection among those left out: compared with plain deletion."""
    rng = np.random.default_rng(0)
    good = save_image("good.png")
    bad = cut(save_image("bad.png"))
    for share in (0.1, 0.5, 0.9):
        broken = rng.random(60) < share
        broken[rng.integers(60)] = False
        lines = [f"{(bad if b else good).name} {i}\n" for i, b in enumerate(broken)]
        path = tmp_path / "list.txt"
        path.write_text("".join(lines))
        dataset = ImageList(path, labels=True, unreadable="skip")
        assert len(dataset) == (~broken).sum() and len(dataset.unreadable) == broken.sum()
        np.testing.assert_array_equal(dataset.eval_labels, np.flatnonzero(~broken))
        for index in range(len(dataset)):
            dataset.load_image(index)
        for index in (-1, len(dataset)):
            with pytest.raises(IndexError, match="outside"):
                dataset.sample_name(index)
