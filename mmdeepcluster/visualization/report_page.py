"""The run report as one page; scripts of ``assets/report_*.js`` bring it to life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from mmdeepcluster.visualization.page import html_page
from mmdeepcluster.visualization.sprites import Sprites

SCRIPTS = (
    "report_base.js",
    "report_charts.js",
    "report_clusters.js",
    "report_epochs.js",
    "report_map.js",
    "report_classes.js",
)
MAX_COLORS = 40
PARTS = ("curves", "clusters", "epochs", "map", "neighbors", "classes")


@dataclass(frozen=True)
class ReportContent:
    """What a run report shows, as plain values.

    Attributes:
        title: Name of the run.
        facts: Name and value of what describes it.
        figures: Rows with ``name``, ``before``, ``after`` and ``hint``.
        warnings: Warnings of its log.
        config: Its config as text, or None.
        panels: What :func:`~mmdeepcluster.visualization.curve_panels.curve_panels` returned.
        values: What the scripts read as ``report``; arrays packed.
        thumbs: Sprites of the sheets, or None.
        map_thumbs: Sprites of further images of the map, or None.
        notes: Sentences that stand above a part, by name out of ``PARTS``.
        missing: Parts that are not there, with the reason.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    figures: Sequence[Mapping[str, str]]
    warnings: Sequence[str]
    config: str | None
    panels: Sequence[Mapping[str, Any]]
    values: Mapping[str, Any]
    thumbs: Sprites | None = None
    map_thumbs: Sprites | None = None
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def report_page(content: ReportContent) -> str:
    """Puts the page together.

    Raises:
        ValueError: If a value is NaN or infinite, which JSON does not know.
    """
    data: dict[str, Any] = {"report": content.values, "panels": content.panels}
    for prefix, sprites in (("sheet-", content.thumbs), ("map-sheet-", content.map_thumbs)):
        for number, sheet in enumerate(sprites.sheets if sprites else ()):
            data[f"{prefix}{number}"] = sheet
    return html_page(
        f"Run report: {content.title}",
        _body(content),
        data=data,
        styles=("report.css",),
        scripts=SCRIPTS,
    )


def _body(content: ReportContent) -> str:
    sections = (
        ("summary", "Summary", _summary(content)),
        ("curves", "Curves", _part(content, "curves", _CURVES + _other(content))),
        ("clusters", "Clusters", _part(content, "clusters", _clusters(content))),
        ("epochs", "Two epochs", _part(content, "epochs", _EPOCHS)),
        ("map", "Map", _part(content, "map", _map(content))),
        ("neighbors", "Neighbours", _part(content, "neighbors", _NEIGHBORS)),
        ("classes", "Classes", _part(content, "classes", _CLASSES)),
    )
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    parts = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{text}</section>'
        for name, title, text in sections
    )
    return f"""<nav class="top" aria-label="Parts">{links}<span class="spring"></span>
<button type="button" data-scheme-switch aria-label="Switch between light and dark">Dark</button>
</nav>
<main>
<h1>{escape(content.title)}</h1>
{parts}
</main>
{_DIALOG}"""


def _part(content: ReportContent, name: str, text: str) -> str:
    """A part with its notes, or why it is not there."""
    notes = "".join(
        f'<p class="missing">{escape(note)}</p>' for note in content.notes.get(name, ())
    )
    if name in content.missing:
        return notes + f'<p class="missing">Not shown: {escape(content.missing[name])}.</p>'
    return notes + text


def _summary(content: ReportContent) -> str:
    facts = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in content.facts
    )
    text = f'<dl class="facts-list">{facts}</dl>'
    if content.figures:
        rows = "".join(
            f'<tr><td>{escape(row["name"])}</td><td class="number">{escape(row["before"])}</td>'
            f'<td class="number">{escape(row["after"])}</td><td>{escape(row["hint"])}</td></tr>'
            for row in content.figures
        )
        text += f"""<h3>Figures</h3><table class="figures"><thead><tr><th>figure</th>
<th class="number">before</th><th class="number">after</th><th>how far to trust it</th></tr></thead>
<tbody>{rows}</tbody></table>"""
    else:
        text += f'<p class="missing">No figures: {escape(content.missing["figures"])}.</p>'
    if content.warnings:
        lines = "".join(f"<li>{escape(line)}</li>" for line in content.warnings)
        text += f"<details><summary>Warnings in the log ({len(content.warnings)})</summary>"
        text += f"<ul>{lines}</ul></details>"
    if content.config is not None:
        text += '<details><summary>The whole config</summary><pre class="config">'
        text += f"{escape(content.config)}</pre></details>"
    return text


def _other(content: ReportContent) -> str:
    if all(panel["main"] for panel in content.panels):
        return ""
    return (
        '<details id="other-charts"><summary>Everything else that was logged</summary>'
        '<div class="charts" id="other-grid"></div></details>'
    )


def _clusters(content: ReportContent) -> str:
    sorts = [("id", "id")]
    if content.values.get("stable_ids"):
        sorts.append(("stable", "stable id"))
    sorts.append(("size", "size"))
    if content.values.get("distances"):
        sorts.append(("spread", "spread"))
    scopes = [("any", "everything"), ("id", "id"), ("file", "file name")]
    sought = "id or file"
    if content.values.get("classes"):
        sought = "id, class or file"
        sorts += [("purity", "purity"), ("entropy", "entropy")]
        scopes.insert(2, ("class", "class"))
    return f"""<p class="faint">Spread is the mean distance to the centroid. Thumbnails lead to the
files where images are files. A cluster's button shows all its images.</p>
<div class="controls" role="search">
<label class="grow">Search<input id="cluster-search" type="search" placeholder="{sought}"
 autocomplete="off"></label>
<label>in<select id="cluster-scope">{_options(scopes)}</select></label>
<label>Sort by<select id="cluster-sort">{_options(sorts)}</select></label>
<button type="button" id="cluster-direction" aria-pressed="false">Smallest first</button>
<span id="cluster-count" class="faint" role="status"></span>
</div>
<div class="list" id="cluster-list" role="list" aria-label="Clusters" tabindex="0"></div>
<div id="cluster-print"></div>
<div class="charts" id="sizes-chart"></div>
"""


def _options(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<option value="{value}">{name}</option>' for value, name in pairs)


def _map(content: ReportContent) -> str:
    groups, sought = [("cluster", "cluster")], "cluster id"
    if content.values.get("classes"):
        sought += ", or class"
        # More colours than these are not told apart.
        few = len(content.values["class_names"]) <= MAX_COLORS < content.values["num_clusters"]
        groups.insert(0 if few else 1, ("class", "class"))
    shown = content.values.get("map") or {}
    return f"""<p class="faint">{escape(shown.get("text", ""))} Neighbours in the map are neighbours
for the network; distances between far groups, and the sizes of groups, mean nothing.</p>
<div class="controls">
<label>Colour by<select id="map-color">{_options(groups)}</select></label>
<label>Highlight<input id="map-highlight" type="search" placeholder="{sought}"
 autocomplete="off"></label>
<label class="inline"><input id="map-images" type="checkbox"> draw images</label>
<button type="button" id="map-in" aria-label="Zoom in">+</button>
<button type="button" id="map-out" aria-label="Zoom out">&minus;</button>
<button type="button" id="map-reset">Whole map</button>
</div>
<div class="map-box"><canvas id="map-canvas" tabindex="0" role="application"
 aria-label="Map of the features. Arrow keys go from image to image, with Shift they move the map,
 plus and minus zoom, Enter opens the cluster."></canvas></div>
<div id="map-legend"></div>
<p class="faint no-print">Hover or tap for the image; drag to move; the wheel zooms once the map is
clicked, or with Ctrl. Keys: arrows go from image to image, + and &minus; zoom, 0 shows all.</p>
<div id="map-said" class="unseen" role="status"></div>
"""


_CURVES = '<div class="charts" id="chart-grid"></div>'
_EPOCHS = """<p class="faint">Clusters are paired by stable ids: a cluster has the id of the one
before it that has most images in common with it. The end is what samples.csv holds. A button shows
which images stayed, came and left.</p>
<div class="controls">
<label>From<select id="epoch-a"></select></label>
<label>to<select id="epoch-b"></select></label>
<label>Sort by<select id="epoch-sort"><option value="moved">most images moved</option>
<option value="size">size at the second</option>
<option value="id">stable id</option></select></label>
</div>
<p id="epoch-summary" role="status"></p>
<div class="epoch-head" aria-hidden="true"><span></span><span id="epoch-name-a"></span>
<span id="epoch-name-b"></span><span></span></div>
<div class="list" id="epoch-list" role="list" aria-label="Pairs of clusters" tabindex="0"></div>
"""
_NEIGHBORS = """<p class="faint">Images drawn at random (left) and the images of the map that the
network finds most alike, with their cosine. This needs no classes: look whether the neighbours show
the same thing, or only the same background or colour.</p>
<div id="neighbor-rows"></div>
"""
_CLASSES = """<p class="faint">Each row is a cluster, each column a known class; the darker, the
larger the share of the cluster (square root, so that small shares can be seen). The cluster that
fits a class best (Hungarian matching) stands first, others of the same commonest class below it.
Known classes are for evaluation alone.</p>
<div class="heat"><canvas id="heat-canvas" tabindex="0" role="application"
 aria-label="Clusters by classes. Arrow keys read cells, Enter opens the cluster."></canvas></div>
<div id="heat-said" class="unseen" role="status"></div>
"""
_DIALOG = """<div id="tip" hidden></div>
<dialog id="details" aria-labelledby="details-title"><div class="dialog-head">
<h2 id="details-title"></h2><button type="button" id="details-close">Close</button></div>
<div id="details-body"></div></dialog>"""
