"""What the documents point to is there: files, headings, names of the code, keys of configs."""

import importlib
import re
import unicodedata
from pathlib import Path

import pytest
from commands import ROOT, pages

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"mmdeepcluster(?:\.\w+)+")
_SETTING = re.compile(r"^([a-z_]+(?:\.\w+)+)=([\w.,\[\]-]+)$")
# Pages that are made when the documents are built (docs/conf.py), and what they show.
MIRRORED = {
    "readme.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmark_configs.md": "configs/benchmarks/README.md",
}
# One of these must take each setting that the documents name.
CONFIGS = (
    "odc/odc_lenet5_digits.py",
    "deepcluster/deepcluster_lenet5_digits.py",
    "deepercluster/deepercluster_convnet_photos.py",
    "odc/odc_r50.py",
    "deepcluster/deepcluster_alexnet.py",
    "deep_dive/fmnist_lenet5.py",
)
# Settings that are no whole keys of ours: of another project, or the end of a key named before.
NOT_OURS = {"memory_bank.length=1281167", "custom_keys.head.lr_mult=10"}


def text_of(path):
    return (ROOT / MIRRORED[path.name] if path.name in MIRRORED else path).read_text("utf-8")


def without_blocks(text):
    return re.sub(r"^ *```.*?^ *```\s*$", "", text, flags=re.M | re.S)


def anchor(title):
    """The anchor of a heading, as GitHub and MyST make it."""
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
    kept = [c for c in title if c in "-_ " or unicodedata.category(c)[0] in "LN"]
    return "".join(kept).replace(" ", "-")


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    wrong = []
    for link in _LINK.findall(without_blocks(page.read_text("utf-8"))):
        if re.match(r"^(https?|mailto):", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"{link}: no such file")
        elif heading:
            titles = re.findall(r"^#+ (.+)$", without_blocks(text_of(target)), flags=re.M)
            if heading not in map(anchor, titles):
                wrong.append(f"{link}: no such heading")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_reachable():
    docs = ROOT / "docs"
    listed = set(re.findall(r"^[\w/*]+$", (docs / "index.md").read_text("utf-8"), flags=re.M))
    for path in docs.rglob("*.md"):
        name = path.relative_to(docs).with_suffix("")
        if str(name) != "index":
            found = str(name) in listed or f"{name.parent}/*" in listed
            assert found, f"{name} is in no toctree"


def test_names_of_the_code_exist():
    seen = 0
    for page in pages():
        for name in set(_NAME.findall(page.read_text("utf-8"))):
            if (ROOT / name.replace(".", "/")).with_suffix("").exists():
                continue
            parts = name.split(".")
            for stop in range(len(parts), 0, -1):
                try:
                    found = importlib.import_module(".".join(parts[:stop]))
                    break
                except ModuleNotFoundError:
                    continue
            for part in parts[stop:]:
                assert hasattr(found, part), f"{page.name}: {name}: {found} has no {part}"
                found = getattr(found, part)
            seen += 1
    assert seen > 30


def settings():
    """Settings in running text and tables, with the page and the others beside them."""
    for page in pages():
        for code in _CODE.findall(without_blocks(page.read_text("utf-8"))):
            words = [_SETTING.match(word) for word in code.split()]
            if words and all(words):
                yield page, code, {word[1]: word[2] for word in words}


def test_settings_are_taken_by_a_config():
    """``model.warm_start=True`` in a table is a key that a shipped config reads."""
    from mmdeepcluster.engine import ConfigError, prepare_config

    wrong, seen = [], set()
    for page, code, given in settings():
        if code in seen | NOT_OURS:
            continue
        seen.add(code)
        # Values that are placeholders say nothing; a number is a key all the same.
        options = {key: 1 if value.isupper() else _value(value) for key, value in given.items()}
        problems = []
        for config in CONFIGS:
            try:
                prepare_config(ROOT / "configs" / config, options)
                break
            except ConfigError as error:
                problems.append(str(error))
        else:
            wrong.append(f"{page.name}: `{code}`: {problems[0]}")
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 40


def _value(text):
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    return float(text) if re.fullmatch(r"[\d.]+", text) and text.count(".") < 2 else text


def test_health_page_knows_every_warning():
    from mmdeepcluster.evaluation import collapse

    source = Path(collapse.__file__).read_text("utf-8")
    codes = set(re.findall(r'CollapseWarning\(\s*"(\w+)"', source))
    text = (ROOT / "docs" / "health.md").read_text("utf-8")
    table = text.split("## What the watchdog says")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.M)) == codes and len(codes) == 10


def test_health_page_knows_what_is_logged():
    """Names of the table of signals are those that the hooks log."""
    hooks = "".join(p.read_text("utf-8") for p in (ROOT / "mmdeepcluster/engine").rglob("*.py"))
    measured = (ROOT / "mmdeepcluster/evaluation/cluster_health.py").read_text("utf-8")
    text = (ROOT / "docs" / "health.md").read_text("utf-8")
    table = text.split("## The signals")[1].split("\n## ")[0]
    for name in re.findall(r"`(?:epoch|cycle|features)[/.](\w+)`", table):
        assert f'"{name}"' in hooks + measured, name


def test_mirrored_pages_are_those_of_the_settings():
    text = (ROOT / "docs" / "conf.py").read_text("utf-8")
    for name, path in MIRRORED.items():
        assert f'"{name[:-3]}": "{path}"' in text
