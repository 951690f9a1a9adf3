"""Runs commands of the documents in this process, which saves the seconds that torch takes."""

import argparse
import contextlib
import io
import itertools
import os
import re
import runpy
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, words
from places import provide, stand_in
from tool_runs import start_script

# Trainings are cut to this many epochs, two where they go on from one.
EPOCHS, RESUMED_EPOCHS = 1, 2
SHRUNK = ["train_dataloader.num_workers=0", "eval_dataloader.num_workers=0"]
# Programs that are run as they stand.
SHELL = {"cat", "cp", "find", "grep", "head", "ls", "mkdir", "sort", "tail", "wc"}
# What prints its arguments instead of starting processes.
ECHO = '#!/bin/bash\nfor word in "$@"; do printf "%s\\n" "$word"; done\n'


class _Parsed(Exception):  # noqa: N818
    """Carries what a tool read from its command line."""


def run(checkout, text):
    """Runs a command in the checkout; fails if it fails."""
    environment, found, target = words(shrink(stand_in(text)))
    provide(checkout, found, lambda other: run(checkout, other))
    _clear_out(checkout, found)
    found = _expand(checkout, found)
    output = None if target is None else (checkout / target)
    with _place(checkout, environment, _folder(found)), contextlib.ExitStack() as stack:
        if output is not None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(output.open("w"))))
        if found[0] in SHELL:
            subprocess.run(found, check=True, cwd=checkout)
        elif found[0].endswith(".sh"):
            running = start_script(found, checkout)
            said, _ = running.communicate()
            assert running.returncode == 0, f"{shlex.join(found)}: {said[-3000:]}"
        else:
            _run_python(found)


def _run_python(found):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            _start(*_python(found))
    except SystemExit as ended:
        if ended.code not in (0, None):
            last = said.getvalue().strip().splitlines()[-1:]
            raise AssertionError(f"{shlex.join(found)} ended with {ended.code}: {last}") from None


def _start(script, arguments, as_module):
    sys.argv = [script, *arguments]
    if as_module:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


def parse(checkout, text):
    """Lets the tool of a command read its options and do no more; its config, if it names one.

    A shell script is run, with what it would start replaced by a program that prints its words.
    """
    environment, found, _ = words(stand_in(text))
    if found[0].endswith(".sh"):
        found = _what_a_script_starts(checkout, environment, found)
    elif found[0] in ("pip", *SHELL):
        _check_extras(text)
        return None
    script, arguments, as_module = _python(found)
    original = argparse.ArgumentParser.parse_args

    def read(parser, args=None, namespace=None):
        del args, namespace
        raise _Parsed(original(parser, arguments))

    with _place(checkout, environment, _folder(found)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", read)
        try:
            _start(script, arguments, as_module)
        except _Parsed as parsed:
            return _check_config(parsed.args[0])
        except SystemExit as ended:
            raise AssertionError(f"{shlex.join(found)}: refused with {ended.code}") from ended
    raise AssertionError(f"{shlex.join(found)}: reads no options")


def _check_config(args):
    """Files that a command names are there, and its config takes its settings."""
    from mmdeepcluster.engine import is_zoo_name, prepare_config

    config = getattr(args, "config", None)
    for name in (config, *(getattr(args, "benchmark", None) or ()), getattr(args, "sweep_file", 0)):
        # What an earlier command of the page leaves in a work dir is there when it was run.
        if isinstance(name, str) and not (is_zoo_name(name) or name.startswith("work_dirs/")):
            assert Path(name).is_file(), f"{name} does not exist"
    options = getattr(args, "cfg_options", None)
    if isinstance(config, str) and options is not None and Path(config).is_file():
        prepare_config(config, options)
    return args


def shrink(text):
    """A command that takes seconds: trainings of one epoch, small studies."""
    if not re.search(r"\btools/(dist_train\.sh|train\.py)\b", text) or "--help" in text:
        return text
    epochs = RESUMED_EPOCHS if "--resume" in text else EPOCHS
    text = re.sub(r"\s\S*train_cfg\.max_epochs=\S+", "", text)
    options = [f"train_cfg.max_epochs={epochs}", *SHRUNK]
    if "--cfg-options" in text:
        return text.replace("--cfg-options", "--cfg-options " + " ".join(options))
    return f"{text} --cfg-options {' '.join(options)}"


def _clear_out(checkout, found):
    """Commands of several pages write into folders of the same name: each finds none there."""
    for option, value in itertools.pairwise(found):
        place = checkout / value
        # Never through a link into the repository.
        if option == "--out":
            assert place.parent.resolve().is_relative_to(checkout), f"--out {value}"
        if option == "--out" and place.is_dir():
            shutil.rmtree(place)
        elif option == "--out":
            place.unlink(missing_ok=True)


def _expand(checkout, found):
    """Names with * as a shell expands them."""
    expanded = []
    for word in found:
        matches = sorted(checkout.glob(word)) if "*" in word and "=" not in word else []
        expanded += [str(match.relative_to(checkout)) for match in matches] or [word]
    return expanded


def _python(found):
    """Script (or module), arguments, and whether it is a module."""
    assert found[0] == "python", f"{shlex.join(found)}: only python, tools/*.sh, pip and {SHELL}"
    if found[1] == "-m":
        return found[2], found[3:], True
    assert Path(ROOT / found[1]).is_file(), f"{found[1]} does not exist"
    return found[1], found[2:], False


def _folder(found):
    """The folder that python makes importable."""
    return "." if found[0] != "python" or found[1] == "-m" else str(Path(found[1]).parent)


def _what_a_script_starts(checkout, environment, found):
    """The python command in what a script of tools/ would start."""
    stubs = checkout / "stubs"
    stubs.mkdir(exist_ok=True)
    for name in ("python", "srun"):
        (stubs / name).write_text(ECHO)
        (stubs / name).chmod(stat.S_IRWXU)
    path = f"{stubs}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        found,
        cwd=checkout,
        env=os.environ | environment | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, f"{shlex.join(found)}: {ended.stderr}"
    started = ended.stdout.splitlines()
    tool = next(place for place, word in enumerate(started) if re.search(r"tools/.*\.py$", word))
    return ["python", *started[tool:]]


def _check_extras(text):
    """``pip install -e ".[docs]"`` names extras that there are."""
    from commands import ROOT

    for names in re.findall(r"\.\[([\w,]+)\]", text):
        for name in names.split(","):
            assert (ROOT / "requirements" / f"{name}.txt").is_file(), f"no extra {name!r}"


@contextlib.contextmanager
def _place(checkout, environment, script):
    """The checkout as current folder, that of the script importable, and everything put back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        for folder in (environment.get("PYTHONPATH", "."), script):
            patch.syspath_prepend(checkout / folder)
        patch.setattr(sys, "argv", list(sys.argv))
        for name, value in environment.items():
            if not name.startswith("PYTHON"):
                patch.setenv(name, value)
        yield
