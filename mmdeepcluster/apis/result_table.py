"""Cards and the papers' rows in one table, whose columns never mix protocols in silence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdeepcluster.apis.card_text import is_share, markdown_table, shown
from mmdeepcluster.apis.evaluation_card import CARD_FORMAT
from mmdeepcluster.apis.protocols import PROTOCOLS
from mmdeepcluster.engine import ConfigError
from mmdeepcluster.evaluation import TAGS, paper_protocols, paper_results

Row = dict[str, Any]
# Protocols of a card that measure the same thing in different ways.
_FAMILIES = {"linear-odc": "linear", "linear-openmmlab": "linear"} | {
    "gap-openmmlab": "gap",
    "gap-swav": "gap",
}
_OURS = "ours"
_COLUMNS_OF_A_PAGE = 8


def read_cards(paths: Sequence[str | Path]) -> list[Row]:
    """Rows of cards, one per number.

    Args:
        paths: ``card.json`` files, or folders that hold one.

    Returns:
        Rows with ``model``, ``data``, ``protocol``, ``family``, ``metric``, ``layer``, ``value``,
        ``best`` (of a layer), ``tag``, ``source`` and ``about``.

    Raises:
        ConfigError: If a file is no card, or two cards of different networks have one name.
    """
    rows: list[Row] = []
    networks: dict[str, str] = {}
    for given in paths:
        path = Path(given) / "card.json" if Path(given).is_dir() else Path(given)
        card = _read(path)
        name = card["name"]
        if networks.setdefault(name, card["network_sha256"]) != card["network_sha256"]:
            raise ConfigError(f"two cards of different networks are called {name!r}: use --name")
        for row in card["results"]:
            own = {key: row.get(key) for key in ("data", "protocol", "metric", "layer", "best")}
            family = _FAMILIES.get(row["kind"], row["kind"])
            about = PROTOCOLS[row["kind"]].about if row["kind"] in PROTOCOLS else ""
            value = {"value": row["value"], "tag": _OURS, "source": str(path), "about": about}
            rows.append({"model": name, "family": family, **own, **value})
    return rows


def with_papers(rows: Sequence[Row], everything: bool = False) -> list[Row]:
    """Adds the papers' rows of the data sets that occur, or all of them."""
    data = {row["data"] for row in rows}
    papers = [dict(row) for row in paper_results() if everything or row["data"] in data]
    # The best layer of a probe of several layers; for one number there is nothing to choose.
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in papers:
        key = (row["model"], row["data"], row["protocol"], row["metric"])
        groups.setdefault(key, []).append(row)
    for group in groups.values():
        if len(group) > 1 and group[0]["family"] == "linear":
            best = max(row["value"] for row in group)
            for row in group:
                row["best"] = row["value"] == best
    return [*rows, *papers]


def results_markdown(rows: Sequence[Row], merge: bool = False) -> str:
    """Tables by data set: a row for each model, a column for each protocol id and metric.

    Where that is wider than a page the two change places. Of a probe of several layers the best
    layer is shown and named; all layers stand in tables of their own.

    Args:
        rows: Of :func:`read_cards` and :func:`with_papers`.
        merge: One column for all protocols that measure the same thing; each number then carries
            the mark of its protocol.

    Returns:
        Markdown.

    Raises:
        ConfigError: If there is no row.
    """
    if not rows:
        raise ConfigError("there is no card and no paper's row to put into a table")
    marks = _marks(rows)
    parts = []
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        parts += [f"## {data}", _wide(own, marks, merge), *_per_layer(own, marks)]
    about = {row["protocol"]: row.get("about", "") for row in rows} | paper_protocols()
    legend = [(f"[{mark}]", f"`{name}`", about.get(name, "")) for name, mark in marks.items()]
    tags = ", ".join(f"{tag}: {text}" for tag, text in TAGS.items())
    notes = (
        "Shares are in per cent. Numbers of different marks were not measured alike and do not "
        f"compare. Tags of published rows: {tags}."
    )
    parts += ["## Protocols", markdown_table(("mark", "id", "what"), legend), notes]
    return "\n\n".join(parts) + "\n"


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ConfigError(f"there is no card {path}: tools/evaluate_card.py writes one")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        raise ConfigError(f"{path} is no card of the format {CARD_FORMAT}")
    return card


def _marks(rows: Iterable[Row]) -> dict[str, str]:
    """A short mark for each protocol id: a, b, ..., z, aa, ab, ..."""
    marks: dict[str, str] = {}
    for row in rows:
        if row["protocol"] not in marks:
            number, mark = len(marks), ""
            while True:
                mark = chr(ord("a") + number % 26) + mark
                number = number // 26 - 1
                if number < 0:
                    break
            marks[row["protocol"]] = mark
    return marks


def _wide(rows: Sequence[Row], marks: Mapping[str, str], merge: bool) -> str:
    columns: dict[tuple[str, str], str] = {}
    cells: dict[tuple[str, tuple[str, str]], list[str]] = {}
    for row in rows:
        if row.get("best") is False:
            continue
        column = (row["family"] if merge else row["protocol"], row["metric"])
        unit = " %" if is_share(row["metric"]) else ""
        mark = "" if merge else f" [{marks[row['protocol']]}]"
        columns.setdefault(column, f"{row['family']} {row['metric']}{unit}{mark}")
        cell = shown(row["metric"], row["value"])
        # A card says "backbone" unless another layer was asked for.
        if row.get("best") or row["tag"] != _OURS or row["layer"] != "backbone":
            cell += f" ({row['layer'].partition('.')[0]})"
        if merge:
            cell += f" [{marks[row['protocol']]}]"
        cells.setdefault((_label(row), column), []).append(cell)
    models = list(dict.fromkeys(_label(row) for row in rows))
    lines = [
        (model, *("; ".join(cells.get((model, column), ["-"])) for column in columns))
        for model in models
    ]
    table = [("model", *columns.values()), *lines]
    if len(columns) > max(len(models), _COLUMNS_OF_A_PAGE):
        table = list(zip(*table, strict=True))
    return markdown_table(table[0], table[1:])


def _per_layer(rows: Sequence[Row], marks: Mapping[str, str]) -> list[str]:
    """A table for each probe of several layers."""
    parts = []
    layered = [row for row in rows if row.get("best") is not None and row["metric"] == "top1"]
    for protocol in dict.fromkeys(row["protocol"] for row in layered):
        own = [row for row in layered if row["protocol"] == protocol]
        layers = list(dict.fromkeys(row["layer"].partition(".")[0] for row in own))
        values = {(_label(row), row["layer"].partition(".")[0]): _bold(row) for row in own}
        lines = [
            (model, *(values.get((model, layer), "-") for layer in layers))
            for model in dict.fromkeys(_label(row) for row in own)
        ]
        header = f"Each layer, top-1 in per cent, [{marks[protocol]}]; the best layer is bold:"
        parts += [header, markdown_table(("model", *layers), lines)]
    return parts


def _bold(row: Row) -> str:
    text = shown("top1", row["value"])
    return f"**{text}**" if row["best"] else text


def _label(row: Row) -> str:
    return (
        row["model"] if row["tag"] == _OURS else f"{row['model']} ({row['tag']}: {row['source']})"
    )
