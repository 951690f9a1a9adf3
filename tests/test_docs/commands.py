"""The commands in the Markdown of this repository.

A block that begins with three backticks and ``sh`` holds commands. Comments before it say what is
not run and why; their words in brackets name the commands of the block that they are about, by a
part of them, and without brackets they are about all::

    <!-- not run: needs Slurm -->
    <!-- not run (dist_train.sh): needs two machines -->
    <!-- slow (initial_alignment): a minute, and needs Fashion-MNIST -->

What is not run is parsed: the tool must take its options, the config must take its settings.
"""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```(\S*)")
_MARK = re.compile(r"^<!-- (not run|slow)(?: \(([^)]*)\))?: (.+) -->$")


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        page: The Markdown file, from the root of the repository.
        line: Number of its line.
        text: What stands there, on one line and without the comment behind it.
        not_run: Why it is not run, or None.
        slow: Why it is run by ``-m slow`` alone, or None.
    """

    page: str
    line: int
    text: str
    not_run: str | None = None
    slow: str | None = None

    @property
    def name(self):
        """Where it stands."""
        return f"{self.page}:{self.line}"


def pages():
    """Every Markdown file that is for readers; those that are read first stand first."""
    first = ("docs/get_started.md", "README.md", "CONTRIBUTING.md", "configs/benchmarks/README.md")
    found = [ROOT / name for name in first]
    return [*found, *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p not in found)]


def blocks(path, language):
    """Blocks of a language in a page: number of the first line, lines, marks before it."""
    found, marks, inside = [], [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if inside is not None:
            if fence:
                if inside[0] == language:
                    found.append((inside[1], inside[2], marks))
                inside, marks = None, []
            else:
                inside[2].append(line)
        elif fence:
            inside = (fence.group(2), number + 1, [])
        elif _MARK.match(line):
            marks.append(_MARK.match(line).groups())
        elif line.strip():
            assert not marks, f"{path}:{number}: a comment about commands needs a block behind it"
    assert inside is None, f"{path}: a block is not closed"
    return found


def commands():
    """All commands, in the order of the pages."""
    found = []
    for path in pages():
        page = str(path.relative_to(ROOT))
        for first, lines, marks in blocks(path, "sh"):
            found += _marked(page, _joined(page, first, lines), marks)
    return found


def _joined(page, first, lines):
    """Commands of a block: continued lines as one, several on a line apart."""
    found, start, text = [], None, ""
    for number, line in enumerate(lines, start=first):
        start = number if start is None else start
        text += line
        if text.endswith("\\"):
            text = text[:-1] + " "
            continue
        for part in re.split(r" (?:&&|;) ", _without_comment(text)):
            if part.strip():
                found.append(Command(page, start, " ".join(part.split())))
        start, text = None, ""
    assert not text, f"{page}:{start}: a command does not end"
    return found


def _without_comment(text):
    """What stands before a # that no quote protects."""
    quote = ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (place == 0 or text[place - 1].isspace()):
            return text[:place]
    return text


def _marked(page, found, marks):
    for kind, words, reason in marks:
        parts = [word.strip() for word in words.split(",")] if words else [""]
        for part in parts:
            chosen = [index for index, command in enumerate(found) if part in command.text]
            assert chosen, f"{page}: a comment is about {part!r}, which no command has"
            key = "not_run" if kind == "not run" else "slow"
            for index in chosen:
                found[index] = replace(found[index], **{key: reason})
    return found


def variants(text):
    """What a synopsis stands for: without its optional parts, and with each of them.

    ``tool [--a [B]] x|y`` stands for ``tool x``, ``tool y`` and ``tool x --a B``.
    """
    plain, optional, depth = "", [], 0
    for place, letter in enumerate(text):
        if letter == "[" and (depth or place == 0 or text[place - 1].isspace()):
            depth += 1
            if depth == 1:
                optional.append("")
            continue
        if letter == "]" and depth:
            depth -= 1
            continue
        if depth:
            optional[-1] += letter
        else:
            plain += letter
    plain = " ".join(word for word in plain.split() if word != "...")
    parts = [part.replace("...", "").strip() for part in optional if part.startswith("-")]
    choices = [plain]
    for word in plain.split():
        if "|" in word and "'" not in word and '"' not in word and len(word) > 1:
            choices = [choice.replace(word, one) for choice in choices for one in word.split("|")]
    return [*choices, *(f"{choices[0]} {part}" for part in parts)]


def words(text):
    """Environment, words and file for the output of a command."""
    found = shlex.split(text)
    environment = {}
    while found and re.match(r"^[A-Z_]+=", found[0]):
        name, _, value = found.pop(0).partition("=")
        environment[name] = value
    target = None
    if ">" in found:
        place = found.index(">")
        target = found[place + 1]
        found = found[:place] + found[place + 2 :]
    return environment, found, target
