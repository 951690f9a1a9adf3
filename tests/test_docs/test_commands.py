"""Every command of README.md, CONTRIBUTING.md and docs/ works (issue: documents that cannot rot).

What is run is run in a folder that looks like a checkout (``places.py``), with the trainings cut to
an epoch (``running.py``). What is not run says why in a comment (``commands.py``) and is parsed:
its tool takes its options, its config takes its settings.
"""

import ast
import os
import re

import pytest
from commands import blocks, commands, pages, variants
from running import parse, run

COMMANDS = commands()
# A command that stands on several pages is run once.
FIRST = [one for one in COMMANDS if one is next(c for c in COMMANDS if c.text == one.text)]
# Of other programs, which are not parsed.
FOREIGN = re.compile(
    r"^(\.|python -m (venv|sphinx)|pytest|ruff|mypy|bash|git|sbatch|scancel|mpirun)( |$)"
)


def runs(command):
    return command.not_run is None


def ids(found):
    return [f"{command.name}" for command in found]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    # the tools of the documents are on this computer's processor, as in the other tests
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def deal(found):
    """Commands for the default suite, and for ``-m slow``.

    Of several trainings with one config the first is run by default; the others, and what looks
    into their work dirs, are slow. The settings of all are checked by default.
    """
    now, later, trained, folders = [], [], set(), ()
    for command in filter(runs, found):
        words = command.text.split()
        training = words[1] == "tools/train.py"
        again = training and words[2] in trained
        if command.slow or again or any(word.startswith(folders) for word in words if folders):
            later.append(command)
            if "--work-dir" in words:
                folders += (words[words.index("--work-dir") + 1],)
            continue
        now.append(command)
        if training:
            trained.add(words[2])
    return now, later


NOW, LATER = deal(FIRST)


@pytest.mark.parametrize("command", NOW, ids=ids(NOW))
def test_it_runs(command, checkout):
    run(checkout, variants(command.text)[0])


@pytest.mark.slow
@pytest.mark.parametrize("command", LATER, ids=ids(LATER))
def test_it_runs_slowly(command, checkout):
    data = re.search(r"needs (Fashion-MNIST|CIFAR-10|SVHN|Imagenette)", command.slow or "")
    if data and "MMDEEPCLUSTER_DATA" not in os.environ:
        pytest.skip(f"{data[1]} is not here (MMDEEPCLUSTER_DATA)")
    run(checkout, variants(command.text)[0])


def test_every_command_is_understood_by_its_tool(checkout):
    wrong = []
    for command in FIRST:
        if command.not_run is not None and FOREIGN.match(command.text):
            continue
        for variant in variants(command.text):
            try:
                parse(checkout, variant)
            except Exception as error:
                wrong.append(f"{command.name}: {variant}\n    {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def test_what_is_not_run_says_why():
    for command in COMMANDS:
        assert command.not_run is None or len(command.not_run) > 8, command
    # most of what this computer could run is run
    assert len(NOW) + len(LATER) > 0.5 * len(FIRST) and len(NOW) >= 25


def test_a_script_says_why_it_is_not_run():
    # a block of bash is a part of a script, which is no command that could be run by itself
    for path in pages():
        for first, _, marks in blocks(path, "bash"):
            assert [kind for kind, _, _ in marks] == ["not run"], f"{path.name}:{first}"


def test_no_command_hides_in_a_block_without_a_language():
    hidden = [
        f"{path.name}:{first}: {line}"
        for path in pages()
        for language in ("", "text", "console", "shell")
        for first, lines, _ in blocks(path, language)
        for line in lines
        if re.match(r"^\$? *(python |pip |tools/)", line)
    ]
    assert not hidden, "put them between ```sh and ```:\n" + "\n".join(hidden)


def test_no_command_hides_in_an_indented_block():
    hidden = [
        f"{path.name}:{number}: {line.strip()}"
        for path in pages()
        for number, line in _outside_of_fences(path)
        if re.match(r"^    (python|pip|tools/)", line)
    ]
    assert not hidden, "put them between ```sh and ```:\n" + "\n".join(hidden)


def _outside_of_fences(path):
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def test_python_blocks_import_what_there_is():
    seen = 0
    for path in pages():
        for first, lines, _ in blocks(path, "python"):
            tree = ast.parse("\n".join(lines), filename=f"{path.name}:{first}")
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module.startswith("mmdeepcluster"):
                    exec(compile(ast.Module([node], []), f"{path.name}:{first}", "exec"), {})
                    seen += 1
    assert seen >= 4
