"""What a run was, and its figures with how far to trust them."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from mmdeepcluster.apis.run_reports.files import RunFiles

_LINE = re.compile(r"^(data|clusters|model|training|device) {2,}(\S.*)$", re.MULTILINE)
_MAX_WARNINGS = 20


def run_facts(run: RunFiles) -> list[tuple[str, str]]:
    """Name and value of what describes a run."""
    facts = [("config", run.name), ("work dir", str(run.folder.resolve()))]
    log = _newest_log(run)
    facts += [(name, text) for name, text in _LINE.findall(log)[:5]]
    if run.cfg is not None and not any(name == "model" for name, _ in facts):
        facts.append(("model", str(run.cfg.model.get("type"))))
    times = [path.stat().st_mtime for path in run.starts[-1].glob("vis_data/scalars.json")]
    facts.append(("started", _readable_start(run.starts[0].name)))
    if times:
        last = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(times[0]))
        facts.append(("last written", last))
    if len(run.starts) > 1:
        facts.append(("starts", f"{len(run.starts)}; curves show them as one run"))
    done = [steps[-1] for name, (steps, _) in run.scalars.items() if name.startswith("epoch/")]
    if done:
        wanted = None if run.cfg is None else (run.cfg.get("train_cfg") or {}).get("max_epochs")
        facts.append(("epochs", f"{max(done)}" + (f" of {wanted}" if wanted else "")))
    if run.checkpoint is not None:
        facts.append(("checkpoint", run.checkpoint.name))
    unreadable = ((run.figures or {}).get("data") or {}).get("num_unreadable")
    if unreadable:
        facts.append(("left out", f"{unreadable} unreadable images (unreadable.txt)"))
    return facts


def run_warnings(run: RunFiles) -> list[str]:
    """Warnings in the logs of all starts, each once."""
    found: dict[str, None] = {}
    for start in run.starts:
        for path in sorted(start.glob("*.log")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if " - WARNING - " in line:
                    found[line.split(" - WARNING - ", 1)[1]] = None
    return list(found)[:_MAX_WARNINGS]


def _newest_log(run: RunFiles) -> str:
    for start in reversed(run.starts):
        for path in sorted(start.glob("*.log"), reverse=True):
            return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _readable_start(name: str) -> str:
    try:
        parsed = time.strptime(name[:15], "%Y%m%d_%H%M%S")
    except ValueError:
        return name
    return time.strftime("%Y-%m-%d %H:%M:%S", parsed)


def figure_rows(run: RunFiles) -> list[dict[str, str]]:
    """Figures before and after the training: ``name``, ``before``, ``after`` and ``hint``."""
    figures = run.figures
    if figures is None:
        return []
    rows = [*_features(figures), *_agreement(figures), *_sizes(figures, run)]
    return [
        {"name": name, "before": _shown(before), "after": _shown(after), "hint": hint}
        for name, before, after, hint in rows
        if after is not None
    ]


Row = tuple[str, float | None, float | None, str]


def _features(figures: dict[str, Any]) -> list[Row]:
    knn, first = figures.get("knn") or {}, figures.get("knn_untrained") or {}
    before, after = figures.get("features_untrained") or {}, figures.get("features") or {}
    probe = figures.get("probe") or {}
    rows: list[Row] = []
    if knn:
        rows.append(
            (
                "k-NN accuracy",
                first.get("accuracy"),
                knn["accuracy"],
                f"Classes of the nearest {knn['k']} images; {knn['queries']}. "
                + _uncertainty(knn["accuracy"], knn)
                + "The gain over the untrained network counts, not the value.",
            )
        )
    if probe:
        hint = f"On {probe['layer']}, {probe['num_test']} test images ({probe['protocol']})."
        rows.append(("linear probe", None, probe["accuracy"], hint))
    number = after.get("num_clusters")
    rows += [
        (
            "NMI of plain k-means",
            before.get("nmi"),
            after.get("nmi"),
            f"k-means with K={number} of the features against the classes: what the features are "
            "worth without the method's own clusters.",
        ),
        (
            "NMI between two k-means seeds",
            before.get("nmi_between_seeds"),
            after.get("nmi_between_seeds"),
            "Needs no labels: 1 means that the clusters are there whichever way one looks; below "
            "about 0.5 they are largely luck. Also high for a trivial structure.",
        ),
        (
            "RankMe",
            before.get("rank_me"),
            after.get("rank_me"),
            "Needs no labels: directions that the features use. Near 1 is a collapse; more is not "
            "always better.",
        ),
        (
            "spread of features",
            before.get("spread"),
            after.get("spread"),
            "Needs no labels: about 1 for features in all directions, 0 if all point the same way.",
        ),
    ]
    return rows


def _agreement(figures: dict[str, Any]) -> list[Row]:
    first, memory = figures.get("initial") or {}, figures.get("memory") or {}
    hints = {
        "nmi": (
            "NMI to classes",
            "Rises by chance with the number of clusters: compare runs of equal K alone.",
        ),
        "ami": ("AMI to classes", "The same, corrected for chance: 0 is chance at any K."),
        "ari": ("ARI to classes", "Pairs of images; low for many more clusters than classes."),
        "accuracy": (
            "accuracy (Hungarian)",
            "One cluster for each class; with more clusters than classes the others count as "
            "wrong, so it cannot reach 1.",
        ),
    }
    return [(title, first.get(key), memory.get(key), hint) for key, (title, hint) in hints.items()]


def _sizes(figures: dict[str, Any], run: RunFiles) -> list[Row]:
    memory, assigner = figures.get("memory") or {}, figures.get("assigner") or {}
    started = {
        name: values[0]
        for name in ("effective_clusters", "num_empty", "min_size", "max_size")
        for steps, values in [run.scalars.get(f"epoch/{name}", ([], []))]
        if steps and steps[0] == 0
    }
    number = None if run.cfg is None else run.cfg.model.get("num_clusters")
    rows: list[Row] = [
        (
            "effective clusters",
            started.get("effective_clusters"),
            memory.get("effective_clusters"),
            f"Needs no labels: exp of the entropy of the sizes; {number} for equal sizes.",
        ),
        ("empty clusters", started.get("num_empty"), memory.get("num_empty"), "Must be 0."),
        ("smallest cluster", started.get("min_size"), memory.get("min_size"), "Images."),
        ("largest cluster", started.get("max_size"), memory.get("max_size"), "Images."),
        (
            "assigner agrees with labels",
            None,
            assigner.get("agreement_with_memory"),
            "NMI of the exported clusters with the labels that training ended with; far below 1 "
            "means that both tell different stories.",
        ),
    ]
    return rows


def _uncertainty(accuracy: float, knn: dict[str, Any]) -> str:
    """Two standard errors of a share, from the number of images that the report names."""
    text = knn["queries"] if knn["queries"][0].isdigit() else knn["bank"]
    match = re.match(r"\d+", text)
    if match is None or int(match[0]) == 0:
        return ""
    error = 2 * math.sqrt(max(accuracy * (1 - accuracy), 1e-9) / int(match[0]))
    return f"Uncertain by about {100 * error:.1f} points (two standard errors). "


def _shown(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-" if value is None else "not a number"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4g}"
