"""Tables and a figure of the runs of a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from mmdeepcluster.apis.sweep_plan import SweepPlan, short
from mmdeepcluster.engine import write_atomically
from mmdeepcluster.visualization import points

# Agreement of the first clusters, of the untrained network, with known labels.
INITIAL_ALIGNMENT = "initial.nmi"
_FEWEST_FOR_RANKS = 3

Result = Mapping[str, Any]


def write_tables(plan: SweepPlan, results: Sequence[Result], out: Path) -> None:
    """Writes ``results.csv``, ``results.md`` and ``results.json``.

    The CSV has a row per run. The others have the groups of runs that differ in their seed alone:
    median and range of each measure, and for three seeds or more Spearman's rank correlation of
    the initial alignment with each measure (R36).
    """
    rows = [_row(plan, result) for result in results]
    groups = _groups(plan, results)
    write_atomically(out / "results.csv", _csv(rows))
    write_atomically(out / "results.md", _markdown(plan, results, rows, groups))
    found = {"config": str(plan.config), "fixed": plan.fixed, "runs": rows, "groups": groups}
    write_atomically(out / "results.json", json.dumps(found, indent=2, default=str) + "\n")


def measure(result: Result, name: str) -> float | None:
    """A figure of a report by its dotted key; None where it is not there or no finite number."""
    value: Any = result.get("report")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else None


def _row(plan: SweepPlan, result: Result) -> dict[str, Any]:
    return {
        "name": result["name"],
        **{key: result["settings"][key] for key in plan.grid},
        "seed": result["seed"],
        "status": result["status"],
        **{name: measure(result, name) for name in plan.measures},
        "error": result["error"] or "",
    }


def _groups(plan: SweepPlan, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Runs that differ in their seed alone."""
    members: dict[str, list[Result]] = {}
    for result in results:
        if result["status"] == "done":
            members.setdefault(json.dumps(result["settings"], default=str), []).append(result)
    return [
        {
            "settings": group[0]["settings"],
            "seeds": [result["seed"] for result in group],
            "measures": {name: _spread(group, name) for name in plan.measures},
            "spearman_with_initial_alignment": {
                name: _rank_correlation(group, name)
                for name in plan.measures
                if name != INITIAL_ALIGNMENT
            },
        }
        for group in members.values()
    ]


def _spread(group: Sequence[Result], name: str) -> dict[str, float] | None:
    values = [value for result in group if (value := measure(result, name)) is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _rank_correlation(group: Sequence[Result], name: str) -> float | None:
    pairs = [(measure(result, INITIAL_ALIGNMENT), measure(result, name)) for result in group]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len(known) < _FEWEST_FOR_RANKS:
        return None
    xs, ys = zip(*known, strict=True)
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        return None  # there are no ranks
    return float(spearmanr(xs, ys).statistic)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown(
    plan: SweepPlan,
    results: Sequence[Result],
    rows: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
) -> str:
    failed = [result for result in results if result["status"] == "failed"]
    shown = [name for name in plan.measures if any(row[name] is not None for row in rows)]
    lines = [
        f"# Sweep of {plan.config.name}",
        "",
        f"{len(rows) - len(failed)} of {len(plan.runs)} runs done, {len(failed)} failed. "
        "Median over seeds (least to most).",
        "",
        *_table([*plan.grid, "seeds", *shown], [_cells(plan, group, shown) for group in groups]),
    ]
    ranks = [
        f"- {_describe(group['settings'])}{name}: {value:+.3f} over {len(group['seeds'])} seeds"
        for group in groups
        for name, value in group["spearman_with_initial_alignment"].items()
        if value is not None
    ]
    if ranks:
        lines += ["", "Spearman's rank correlation with the initial alignment:", "", *ranks]
    if failed:
        lines += ["", "Failed:", "", *(f"- {run['name']}: {run['error']}" for run in failed)]
    return "\n".join(lines) + "\n"


def _cells(plan: SweepPlan, group: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    cells = [short(group["settings"][key]) for key in plan.grid]
    cells.append(str(len(group["seeds"])))
    for name in shown:
        spread = group["measures"][name]
        if spread is None:
            cells.append("")
        elif spread["min"] == spread["max"]:
            cells.append(f"{spread['median']:.4f}")
        else:
            cells.append(f"{spread['median']:.4f} ({spread['min']:.4f} to {spread['max']:.4f})")
    return cells


def _describe(settings: Mapping[str, Any]) -> str:
    text = ", ".join(f"{key}={short(value)}" for key, value in settings.items())
    return f"{text}, " if text else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def draw_sweep(plan: SweepPlan, results: Sequence[Result], path: Path) -> bool:
    """Draws the first measure over the first setting that varies, or over the initial alignment.

    Returns:
        Whether there was something to draw, and matplotlib.
    """
    name = next((n for n in plan.measures if any(measure(r, n) is not None for r in results)), None)
    if name is None:
        return False
    varied = [key for key, values in plan.grid.items() if len(values) > 1]
    series: dict[str, dict[Any, list[float]]] = {}
    for result in results:
        value = measure(result, name)
        place: Any = measure(result, INITIAL_ALIGNMENT)
        if varied:
            setting = result["settings"][varied[0]]
            plain = isinstance(setting, (int, float)) and not isinstance(setting, bool)
            place = setting if plain else short(setting)
        if value is None or place is None:
            continue
        others = [f"{key}={short(result['settings'][key])}" for key in varied[1:]]
        series.setdefault(", ".join(others) or "all", {}).setdefault(place, []).append(value)
    medians = {
        label: [(place, statistics.median(values)) for place, values in found.items()]
        for label, found in series.items()
    }
    return bool(medians) and points(
        path,
        medians,
        xlabel=varied[0] if varied else "initial alignment (NMI)",
        ylabel=f"{name}, median over seeds" if varied else name,
        title=f"Sweep of {plan.config.name}",
        joined=bool(varied),
    )
