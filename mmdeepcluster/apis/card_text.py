"""A card for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Metrics that are shares and read better as per cent.
_SHARES = ("top1", "top5", "map", "p@1", "accuracy", "nmi", "ami", "ari", "largest_share")


def shown(metric: str, value: float | None) -> str:
    """A number as people read it: shares in per cent."""
    if value is None or value != value:
        return "-"
    if is_share(metric):
        return f"{100 * value:.2f}"
    return f"{value:.3g}"


def is_share(metric: str) -> bool:
    """Whether a metric is a share, 0 to 1, that is shown in per cent."""
    return metric in _SHARES or metric.startswith("map_")


def best_layers(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the best layer of each probe of several layers (R66)."""
    return [row for row in results if row.get("best") and row["metric"] == "top1"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; ``|`` in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    model, hardware = card["model"], card["hardware"]
    backbone = ", ".join(f"{key}={value}" for key, value in model["backbone"].items())
    facts = [
        ("config", model["config"] or "-"),
        ("method, backbone", f"{model['method']}; {backbone}"),
        ("weights", model["origin"]),
        ("sha256 of the file", model["checkpoint_sha256"] or "-"),
        ("sha256 of the network", f"{card['network_sha256']} (the same afterwards)"),
        *(
            (f"images of {item['data']}", _steps(item["eval_pipeline"]))
            for item in card["benchmarks"]
        ),
        ("seeds", ", ".join(f"{item['data']}: {item['seed']}" for item in card["benchmarks"])),
        (
            "hardware",
            f"{hardware['device']} ({hardware['machine']}), {hardware['threads']} threads of "
            f"{hardware['cpu_cores']} cores",
        ),
        ("versions", ", ".join(f"{name} {text}" for name, text in card["versions"].items())),
        ("measured", f"{card['created']}, {card['seconds']:g} s"),
    ]
    results = [
        (
            row["data"],
            row["kind"],
            row["metric"] + (" %" if is_share(row["metric"]) else ""),
            row["layer"] + (" (best)" if row.get("best") else ""),
            shown(row["metric"], row["value"]),
            f"`{row['protocol']}`",
            f"{row['seconds']:g}",
        )
        for row in card["results"]
    ]
    parts = [f"# {card['name']}", markdown_table(("what", "value"), facts)]
    best = [
        f"- {row['data']}, `{row['protocol']}`: **{row['layer']}**, "
        f"{shown('top1', row['value'])} % top-1"
        for row in best_layers(card["results"])
    ]
    if best:
        parts += ["## Best layer", "\n".join(best)]
    warnings = dict.fromkeys(
        f"- {row['data']}, {row['layer']}: {text}"
        for row in card["results"]
        for text in row["details"].get("warnings", ())
    )
    if warnings:
        parts += ["## Signs of collapse", "\n".join(warnings)]
    header = ("data", "protocol", "metric", "layer", "value", "protocol id", "seconds")
    notes = (
        "Numbers of different protocol ids do not compare. `cached`: classifiers saw one fixed "
        "view of each image, without augmentation. Seconds are those of the whole protocol; the "
        "first one of a benchmark includes the pass over the images."
    )
    parts += ["## Results", markdown_table(header, results), notes]
    return "\n\n".join(parts) + "\n"


def _steps(pipeline: Sequence[Mapping[str, Any]]) -> str:
    """Transforms in short: ``RGB, Resize(size=256), ...``."""
    texts = []
    for step in pipeline:
        options = ", ".join(f"{key}={value}" for key, value in step.items() if key != "type")
        texts.append(f"{step['type']}({options})" if options else str(step["type"]))
    return ", ".join(texts)
