"""Lists of any length: an index on disk, shared, built once, and never stale (R60)."""

import copy
import gc
import logging
import multiprocessing
import os
import pickle
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mmdeepcluster.datasets import ImageList, list_index
from mmdeepcluster.datasets.list_names import ListedNames

INDEX = ".list.txt.mmdeepcluster-index"
LABELS_INDEX = ".list.txt.mmdeepcluster-labels-index"
LONG_AGO = 1_600_000_000


def write(folder: Path, content: bytes | str, age: int = LONG_AGO) -> Path:
    """Writes a list file that was last changed ``age`` seconds after 1970."""
    path = folder / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(path, (age, age))
    return path


def names(path: Path, labels: bool = False) -> list[str]:
    return list(ListedNames(path, path.parent, labels))


def indexings(records: list[logging.LogRecord]) -> int:
    return sum(record.getMessage().startswith("indexed ") for record in records)


def test_names_behave_as_a_list(tmp_path):
    path = write(tmp_path, b"# x\na.png\r\n\n b c.png \n#\nk\xc3\xa4tz\xff.png\n# end\nd")
    expected = ["a.png", "b c.png", "k\u00e4tz\udcff.png", "d"]
    listed = ListedNames(path, tmp_path, False)
    assert list(listed) == expected and len(listed) == 4 and listed.labels is None
    for index in range(-4, 4):
        assert listed[index] == expected[index]
    for cut in (slice(1, 3), slice(None), slice(3, 1), slice(None, None, -2), slice(2, 99)):
        assert listed[cut] == expected[cut]
    for index in (4, -5):
        with pytest.raises(IndexError):
            listed[index]


def test_an_index_is_built_once_and_mapped_later(tmp_path, log_records):
    path = write(tmp_path, "a.png 5\nb.png 6\n")
    for _ in range(3):
        assert names(path) == ["a.png 5", "b.png 6"]
    assert indexings(log_records) == 1
    listed = ListedNames(path, tmp_path, True)
    assert list(listed) == ["a.png", "b.png"] and listed.labels.tolist() == [5, 6]
    assert names(path, labels=True) == ["a.png", "b.png"]
    assert indexings(log_records) == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {"list.txt", INDEX, LABELS_INDEX}
    listed.labels[0] = 9  # torch wants writable arrays; the file stays as it is
    assert ListedNames(path, tmp_path, True).labels.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("second", "age"),
    [("b.png\na.png\nc.png\n", LONG_AGO), ("aa.png\nb.pn\n", LONG_AGO + 1)],
    ids=["other size", "other time"],
)
def test_a_changed_list_is_indexed_anew(tmp_path, second, age):
    assert names(write(tmp_path, "a.png\nb.png\n")) == ["a.png", "b.png"]
    assert names(write(tmp_path, second, age)) == second.split()


def test_a_list_that_was_just_written_is_not_trusted(tmp_path, log_records):
    """Two changes within one tick of the file system's clock leave the same time and size."""
    path = write(tmp_path, "aa.png\nb.png\n")
    now = path.parent.stat().st_mtime_ns
    os.utime(path, ns=(now, now))
    assert names(path) == ["aa.png", "b.png"]
    path.write_text("a.png\nbb.png\n")
    os.utime(path, ns=(now, now))
    assert names(path) == ["a.png", "bb.png"]
    later = now + 3_000_000_000
    os.utime(tmp_path / INDEX, ns=(later, later))
    assert names(path) == ["a.png", "bb.png"]
    assert indexings(log_records) == 2


@pytest.mark.parametrize("damage", [b"", b"12345", b"\0" * 56, "cut", "longer"])
def test_a_damaged_index_is_built_anew(tmp_path, damage):
    path = write(tmp_path, "a.png\nb.png\n")
    names(path)
    content = (tmp_path / INDEX).read_bytes()
    damaged = {"cut": content[:-8], "longer": content + bytes(8)}.get(damage, damage)
    (tmp_path / INDEX).write_bytes(damaged)
    assert names(path) == ["a.png", "b.png"]
    assert (tmp_path / INDEX).read_bytes() == content


def test_where_the_index_lies_when_the_folder_of_the_list_takes_none(tmp_path, monkeypatch):
    path = write(tmp_path, "a.png\n")
    (tmp_path / INDEX).mkdir()  # as root every folder is writable; nothing replaces a folder
    real = Path.open

    def refuse(self, mode="r", *args, **options):
        if "x" in mode and self.parent in refused:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    cache = tmp_path / "cache" / "mmdeepcluster"
    private = tmp_path / "tmp" / f"mmdeepcluster-{os.getuid()}"
    refused = {tmp_path}
    assert names(path) == ["a.png"]
    assert len(list(cache.iterdir())) == 1 and not private.exists()
    next(cache.iterdir()).unlink()
    refused.add(cache)
    assert names(path) == names(path) == ["a.png"]
    assert len(list(private.iterdir())) == 1 and private.stat().st_mode & 0o777 == 0o700
    next(private.iterdir()).unlink()
    refused.add(private)
    with pytest.raises(OSError, match=r"no folder takes the index.*Permission.*XDG_CACHE_HOME"):
        names(path)


def test_a_failed_scan_leaves_nothing_behind(tmp_path):
    path = write(tmp_path, "a.png 1\nb.png\n")
    with pytest.raises(ValueError, match="line 2"):
        names(path, labels=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.txt"]


def test_a_list_that_grows_while_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path, "a.png\n")
    scan = list_index.scan_lines

    def scan_while_growing(file, labels):
        with path.open("a") as other:
            other.write("b.png\n")
        return scan(file, labels)

    monkeypatch.setattr(list_index, "scan_lines", scan_while_growing)
    with pytest.raises(OSError, match=r"list\.txt' changes while it is read"):
        names(path)


def test_a_list_that_changes_under_an_open_data_set_is_an_error(tmp_path, save_image):
    for name in ("a.png", "b.png"):
        save_image(name)
    path = write(tmp_path, "a.png\nb.png\n")
    dataset = ImageList(path)
    pickled = pickle.dumps(dataset)
    path.write_text("")  # a mapped file would end the process by SIGBUS here
    with pytest.raises(OSError, match=r"list\.txt' or its index has changed since it was opened"):
        dataset.load_image(0)
    with pytest.raises(OSError, match="has changed since it was opened"):
        pickle.loads(pickled)


def test_a_list_that_is_replaced_stays_open(tmp_path):
    path = write(tmp_path, "a.png\nb.png\n")
    listed = ListedNames(path, tmp_path, False)
    (tmp_path / "new.txt").write_text("c.png\n")
    (tmp_path / "new.txt").replace(path)
    assert list(listed) == ["a.png", "b.png"] and names(path) == ["c.png"]
    assert list(listed) == ["a.png", "b.png"]


def test_pickled_data_sets_hold_paths_alone(tmp_path, save_image, cut):
    for name in ("a.png", "b.png"):
        save_image(name)
    cut(tmp_path / "b.png")
    path = write(tmp_path, "a.png 3\nb.png 4\n" * 1000)
    dataset = ImageList(path, labels=True, unreadable="skip")
    pickled = pickle.dumps(dataset)
    assert len(pickle.dumps(ImageList(path, labels=True, unreadable="trust"))) < 1500
    assert len(pickled) < 2000 + 2 * dataset._left_out.nbytes
    for twin in (pickle.loads(pickled), copy.deepcopy(dataset)):
        assert [twin.sample_name(i) for i in (0, 999)] == ["a.png", "a.png"]
        np.testing.assert_array_equal(twin.eval_labels, [3] * 1000)
        assert twin.fingerprint() == dataset.fingerprint()
        assert twin.unreadable == dataset.unreadable == ("b.png",) * 1000


def build_at_once(barrier, path, queue):
    barrier.wait()
    queue.put(hash(tuple(names(path))))


def test_processes_that_build_the_index_at_once(tmp_path):
    path = write(tmp_path, "".join(f"{number}.png\n" for number in range(50_000)))
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(4), context.Queue()
    workers = [context.Process(target=build_at_once, args=(barrier, path, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = {queue.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert found == {hash(tuple(f"{number}.png" for number in range(50_000)))}
    assert {entry.name for entry in tmp_path.iterdir()} == {"list.txt", INDEX}


def test_two_million_lines_in_bounded_memory(tmp_path):
    """tracemalloc counts what Python and numpy allocate; mapped pages are the system's."""
    count = 2_000_000
    path = tmp_path / "list.txt"
    with path.open("w") as file:
        for start in range(0, count, 10_000):
            file.write(
                "".join(f"images/{i:08d}.jpg {i % 1000}\n" for i in range(start, start + 10_000))
            )
    first = tmp_path / "images" / "00000000.jpg"
    first.parent.mkdir()
    tracemalloc.start()
    try:
        dataset = ImageList(path, labels=True, unreadable="trust")
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20 and peak < 64 << 20, (held, peak)
    assert len(dataset) == count
    for index in (0, 1, 1_234_567, count - 1):
        assert dataset.sample_name(index) == f"images/{index:08d}.jpg"
    np.testing.assert_array_equal(dataset.eval_labels, np.arange(count) % 1000)
    assert len(pickle.dumps(dataset)) < 1500
