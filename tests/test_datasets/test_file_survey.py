"""A restart asks for sizes and times and decodes what changed alone (R60)."""

import copy
import hashlib
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmdeepcluster.datasets import ImageList, file_survey, image_files
from mmdeepcluster.datasets.chain_digest import Chain

FINDINGS = ".list.txt.mmdeepcluster-findings"
LONG_AGO = 1_600_000_000


def age(*paths, seconds=LONG_AGO):
    for path in paths:
        os.utime(path, (seconds, seconds))


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded."""
    found = []
    real = image_files.find_defect

    def look(path):
        found.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(image_files, "find_defect", look)
    return found


@pytest.fixture
def listed(tmp_path, save_image, cut):
    """Lists a good file in a first block of 4096 lines, and good and bad ones in a second."""
    paths = [save_image("a.png"), save_image("b.png"), cut(save_image("c.png"))]
    (tmp_path / "d.png").write_text("no image")
    age(*paths, tmp_path / "d.png")
    path = tmp_path / "list.txt"
    path.write_text("a.png\n" * 4096 + "b.png\nc.png\nd.png\ngone.png\n")
    return path


def look(path, **options):
    dataset = ImageList(path, **{"unreadable": "skip"} | options)
    return dataset, list(dataset.left_out())


def test_a_second_start_decodes_nothing(listed, decoded):
    first, found = look(listed)
    assert len(decoded) == 4100
    assert [name for name, _ in found] == ["c.png", "d.png", "gone.png"]
    reasons = [reason for _, reason in found]
    assert "truncated" in reasons[0] and "cannot identify" in reasons[1]
    assert reasons[2].startswith("FileNotFoundError")
    decoded.clear()
    second, again = look(listed)
    assert decoded == [] and again == found
    assert len(second) == len(first) == 4097 and second.unreadable == first.unreadable
    assert second.fingerprint() == first.fingerprint()
    with pytest.raises(FileNotFoundError, match=r"1 of 4100 images.*gone\.png"):
        ImageList(listed)
    assert decoded == []


def test_a_restart_asks_for_each_file_once(listed, monkeypatch):
    look(listed)[0].fingerprint()
    asked = []
    real = os.stat

    def count(path, *args, **options):
        if str(path).endswith(".png"):
            asked.append(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", count)
    look(listed)[0].fingerprint()
    assert len(asked) == 4100


def test_what_one_policy_found_serves_another(listed, decoded):
    listed.write_text(listed.read_text().replace("gone.png\n", ""))
    with pytest.raises(ValueError, match=r"2 of 4099 images.*c\.png"):
        ImageList(listed)
    decoded.clear()
    assert len(look(listed)[0]) == 4097 and decoded == []


@pytest.mark.parametrize("change", ["size", "time", "restored", "appended"])
def test_blocks_that_changed_are_decoded_again(listed, decoded, save_image, change):
    look(listed)
    decoded.clear()
    folder = listed.parent
    broken = ["c.png", "d.png", "gone.png"]
    if change == "size":
        (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:-30])
        age(folder / "b.png")
        broken.insert(0, "b.png")
    elif change == "time":
        content = bytearray((folder / "b.png").read_bytes())
        content[60:90] = bytes(30)  # damaged, of the same size
        (folder / "b.png").write_bytes(content)
        age(folder / "b.png", seconds=LONG_AGO + 1)
        broken.insert(0, "b.png")
    elif change == "restored":
        save_image("gone.png")
        broken.remove("gone.png")
    else:
        with listed.open("a") as file:
            file.write("d.png\n")
        broken.append("d.png")
    assert [name for name, _ in look(listed)[1]] == broken
    # the second block alone
    assert len(decoded) == 4 + (change == "appended") and "a.png" not in decoded


def test_a_file_that_changed_a_moment_ago_is_not_trusted(tmp_path, save_image, decoded):
    """Two changes within one tick of the file system's clock leave the same time and size."""
    new = save_image("new.png")
    path = tmp_path / "list.txt"
    path.write_text("new.png\n")
    for expected in (1, 2):
        assert look(path)[1] == []
        assert len(decoded) == expected
    assert not (tmp_path / FINDINGS).exists()
    age(new)
    look(path)
    look(path)
    assert len(decoded) == 3


def test_other_roots_and_damaged_findings(listed, tmp_path, decoded):
    look(listed)
    whole = (tmp_path / FINDINGS).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        os.link(tmp_path / name, other / name)
    decoded.clear()
    assert look(listed, root=other)[1][1][0] == "d.png"
    assert len(decoded) == 4100
    for damaged in (b"", whole[:-200], whole[:400] + b"X" + whole[401:], b"PK\x03\x04"):
        (tmp_path / FINDINGS).write_bytes(damaged)
        decoded.clear()
        look(listed)
        assert len(decoded) == 4100
    (tmp_path / FINDINGS).write_bytes(whole)
    decoded.clear()
    look(listed)
    assert decoded == []


def test_a_disk_that_is_full_is_said(listed, monkeypatch, log_records):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmdeepcluster.datasets.file_findings.np.savez", full)
    dataset, found = look(listed)
    assert len(dataset) == 4097 and len(found) == 3
    (warning,) = [r for r in log_records if r.levelno == logging.WARNING and "kept" in r.msg]
    assert "next start will decode them again" in warning.msg and "No space" in warning.msg
    assert not [p.name for p in listed.parent.iterdir() if p.name.endswith("-tmp")]


def test_one_process_of_a_machine_writes(listed, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    look(listed)
    assert not (listed.parent / FINDINGS).exists()


def test_copies_hold_no_reasons(listed):
    dataset, found = look(listed)
    assert len(found) == 3
    for twin in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert twin.unreadable == dataset.unreadable and twin.num_unreadable == 3
        assert twin.fingerprint() == dataset.fingerprint()
        with pytest.raises(RuntimeError, match="does not know why"):
            list(twin.left_out())


def test_chains_join_at_any_place():
    items = [bytes([i]) * i for i in range(10)]
    prime = 2**255 - 19
    base = int.from_bytes(hashlib.sha256(b"mmdeepcluster").digest(), "big") % prime
    hashes = [int.from_bytes(hashlib.sha256(item).digest(), "big") for item in items]
    value = sum(h * pow(base, 9 - i, prime) for i, h in enumerate(hashes)) % prime
    whole = Chain.of(items)
    assert whole == Chain(10, value)
    for i in range(11):
        assert Chain.of(items[:i]).then(Chain.of(items[i:])) == whole
    swapped = [*items[:3], items[4], items[3], *items[5:]]
    assert Chain.of(swapped) != whole and Chain.of(items[1:]) != whole
    assert len(whole.to_bytes()) == 40


def test_fingerprint_does_not_depend_on_blocks(tmp_path, save_image, monkeypatch):
    lines = []
    for number in range(9):
        age(save_image(f"{number}.png", size=(8 + number, 8)))
        lines += [f"{number}.png\n", f"gone{number}.png\n"]
    path = tmp_path / "list.txt"
    path.write_text("".join(lines[::2]))
    expected = ImageList(path).fingerprint()
    path.write_text("".join(lines))
    for block in (4096, 1, 5):
        for module in ("file_check", "file_findings", "file_survey", "image_files"):
            monkeypatch.setattr(f"mmdeepcluster.datasets.{module}.BLOCK", block)
        monkeypatch.setattr("mmdeepcluster.datasets.file_check._CHUNK", min(block, 32))
        for _ in range(2):  # decoded, and found from before
            dataset = ImageList(path, unreadable="skip")
            assert dataset.fingerprint() == expected
            assert dataset.num_unreadable == 9
    order = np.argsort([str(i) for i in range(9)])[::-1]
    path.write_text("".join(lines[2 * i] for i in order))
    assert ImageList(path).fingerprint() != expected


def test_progress_of_the_search(listed, monkeypatch, log_records):
    monkeypatch.setattr("mmdeepcluster.datasets.file_check._PROGRESS_SECONDS", -1.0)
    monkeypatch.setattr(file_survey, "BLOCKS_A_ROUND", 1)
    look(listed)
    said = [record.getMessage() for record in log_records]
    assert "looked for 4,096 of 4,100 files" in said and "looked for 4,100 of 4,100 files" in said
    assert "checked 4,100 of 4,100 image files" in said
