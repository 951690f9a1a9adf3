"""The vectorised scan of a list file finds what reading it as text finds (R60)."""

import io
import sys

import numpy as np
import pytest

from mmdeepcluster.datasets import list_lines
from mmdeepcluster.datasets.list_lines import LabelError, decode_line, scan_lines, split_label

# What Python's text mode, str.strip() and str.startswith() make of each file is the truth.
AWKWARD = {
    "empty": b"",
    "no final newline": b"a.png\nb.png",
    "CRLF": b"a.png\r\nb.png\r\n",
    "CR": b"a.png\rb.png\r",
    "mixed": b"a\n\r\rb\r\n\n\rc\r\r\nd",
    "blanks": b"\n\n  \n\t\r\na.png\n\xc2\xa0\n\xe3\x80\x80\xe2\x80\x89 \n\x1c\x1f\n",
    "comments": b"# a\n#\n  # b\n\xe3\x80\x80# c\na#.png\n #d\n.#e.png",
    "spaces in names": b" a b.png \n\ta  b\t.png\x0b\nc.png\xe2\x80\xa8\n",
    "other scripts": "k\u00e4tzchen/\u732b.png\n\u30ab\u30e1\u30e9\n\u2019x\n\u1680y\n".encode(),
    "not UTF-8": b"bad\xff.png\n\xff\n\xe3\x80\n\xe2\n\xc2\n\xe3\x80\x80\xe3\n\xa0a\n",
    "line separators of str alone": "a\u2028b.png\nc\x85d.png\ne\x0cf.png\n\x0cg".encode(),
    "byte order mark": b"\xef\xbb\xbf a.png\n\xef\xbb\xbfb.png\n",
    "nothing but a mark": b"\xef\xbb\xbf\n",
    "NUL": b"a\0b.png\n\0\n",
}


def by_text_mode(content: bytes) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape").read()
    stripped = (line.strip() for line in text.split("\n"))
    return [name for name in stripped if name and not name.startswith("#")]


def by_scan(content: bytes) -> list[str]:
    starts = [start for rows in scan_lines(io.BytesIO(content), False) for start in rows[:, 0]]
    ends = [*starts, len(content)][1:]
    spans = (content[start:end] for start, end in zip(starts, ends, strict=True))
    return [decode_line(span.split(b"\n")[0].split(b"\r")[0]) for span in spans]


def labels(content: bytes) -> list[int]:
    return [int(row[1]) for rows in scan_lines(io.BytesIO(content), True) for row in rows]


@pytest.mark.parametrize("content", AWKWARD.values(), ids=AWKWARD.keys())
@pytest.mark.parametrize("piece", [1 << 22, 12])
def test_awkward_files_as_in_text_mode(monkeypatch, content, piece):
    monkeypatch.setattr(list_lines, "_PIECE", piece + 24)
    assert by_scan(content) == by_text_mode(content)


@pytest.mark.parametrize("seed", range(40))
def test_random_files_as_in_text_mode(monkeypatch, seed):
    monkeypatch.setattr(list_lines, "_PIECE", 256)
    rng = np.random.default_rng(seed)
    tokens = [b"\n", b"\r", b"\r\n", b" ", b"\t", b"#", b"a.png", b"\xe3\x80\x80", b"\xe3\x82\xab"]
    tokens += [b"\xc2\xa0", b"\xe2\x80\x8a", b"\xff", b"\xe3", b"\x1d", b"/", b"\xef\xbb\xbf"]
    content = b"".join(tokens[i] for i in rng.integers(0, len(tokens), 2000))
    assert len(by_text_mode(content)) > 100
    assert by_scan(content) == by_text_mode(content)


def test_every_white_space_of_python_is_skipped():
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert len(spaces) >= 25
    for space in spaces:
        content = f"{space}a.png\n{space}\n{space}#\n".encode()
        assert by_scan(content) == by_text_mode(content) == ["a.png"]


def test_labels_of_any_form():
    lines = {
        "a 7": 7,
        "a\t0": 0,
        "a 1   12": 12,
        " b c 5 \t": 5,
        "d 000000000000000000000042": 42,
        "e 9223372036854775807": 2**63 - 1,
        "f 123456789012345678": 123456789012345678,
        "g\u3000h 3\u00a0": 3,
        "0 1": 1,
    }
    for newline in ("\n", "\r\n", "\r"):
        assert labels(newline.join(lines).encode()) == list(lines.values())


NO_LABEL = ["b.png", "3", "33", "b -1", "b 1.5", "b5", "b\u00a05", "b \u0663"]
TOO_LARGE = ["b 9223372036854775808", "b " + "9" * 5000]


@pytest.mark.parametrize("line", NO_LABEL + TOO_LARGE)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_line_without_label_is_named_by_its_number(monkeypatch, line, newline):
    monkeypatch.setattr(list_lines, "_PIECE", 8192)
    assert split_label(line) is None
    content = newline.join(["# header", "", *["a.png 0"] * 3000, line, "c.png 1"]).encode()
    with pytest.raises(LabelError) as error:
        labels(content)
    assert (error.value.number, error.value.line) == (3003, line)


def test_a_file_that_is_no_list_is_refused_without_reading_it_all():
    file = io.BytesIO(bytes(50 << 20))
    with pytest.raises(ValueError, match="no line ends within 4,194,304 bytes, this is no list"):
        list(scan_lines(file, False))
    assert file.tell() <= 8 << 20
