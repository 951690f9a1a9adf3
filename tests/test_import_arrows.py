"""Who may know whom (DESIGN, "Rooms"): walks the imports of the package and of the tools."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "mmdeepcluster"

# Rooms that a room may import from, besides itself, the registry and the version.
ALLOWED = {
    "clustering": set(),
    "datasets": {"clustering"},
    "evaluation": {"clustering"},
    "visualization": {"clustering"},
    "models/backbones": set(),
    "models/necks": set(),
    "models/heads": {"clustering"},
    "models/losses": set(),
    "models/memories": {"clustering"},
    "models/algorithms": {
        "clustering",
        "models/backbones",
        "models/necks",
        "models/heads",
        "models/losses",
        "models/memories",
    },
    "models": {
        "clustering",
        "models/algorithms",
        "models/backbones",
        "models/necks",
        "models/heads",
        "models/losses",
        "models/memories",
    },
    "engine": {"clustering", "models", "datasets", "evaluation", "models/algorithms"},
    "apis": {"clustering", "models", "datasets", "evaluation", "visualization", "engine"},
    "tools": {"apis", "engine"},
}
EVERYONE = {"registry", "version"}


def room(parts):
    """The room of a module given as path parts below the package."""
    if not parts:
        return "package"
    if parts[0] == "models" and len(parts) > 1 and f"models/{parts[1]}" in ALLOWED:
        return f"models/{parts[1]}"
    return parts[0]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            # `from package import room` names the room in the alias
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)


def arrows():
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        source = room(parts[:-1] if parts[-1] == "__init__" else parts)
        yield from ((path, source, name) for name in imports(path))
    for path in sorted((ROOT / "tools").rglob("*.py")):
        yield from ((path, "tools", name) for name in imports(path))


def forbidden(source, name):
    """Why a room may not import a module, or None."""
    if not name.startswith(PACKAGE):
        foreign = name.split(".")[0] in ("mmengine", "mmcv") and name != "mmengine.dist"
        if source == "clustering" and foreign:
            return "clustering knows tensors and process groups alone"
        return None
    target = room(name.split(".")[1:])
    if target in EVERYONE | {source, "package"} or source in EVERYONE | {"package"}:
        return None
    if target not in ALLOWED[source]:
        return f"{source} must not know {target}"
    return None


def test_no_other_arrow():
    found = list(arrows())
    assert len(found) > 200  # the walk sees the package
    wrong = [f"{path}: {forbidden(s, n)}" for path, s, n in found if forbidden(s, n)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("clustering", "mmdeepcluster.models"),
        ("clustering", "mmengine.runner"),
        ("models/memories", "mmdeepcluster.models.algorithms.odc"),
        ("datasets", "mmdeepcluster.engine.errors"),
        ("models/algorithms", "mmdeepcluster.engine"),
        ("engine", "mmdeepcluster.apis"),
    ],
)
def test_the_walk_would_find_one(source, name):
    assert forbidden(source, name)


def test_house_rules_of_devices_and_wrappers():
    for path in (ROOT / PACKAGE).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for pattern in (".cuda(", "runner.model.module", "weights_only=False"):
            assert pattern not in text, f"{path}: {pattern}"
