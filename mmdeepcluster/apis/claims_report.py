"""The claims of DeeperCluster's evaluation beside what was measured (R61)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdeepcluster.apis.card_text import markdown_table
from mmdeepcluster.apis.result_table import Row, read_cards
from mmdeepcluster.engine import ConfigError

_NOT_MEASURED = "not measured"


def deepercluster_report(card: str, supervised: str) -> str:
    """Sets a model against a supervised one, protocol by protocol.

    Args:
        card: Card of the model.
        supervised: Card of a network of the same architecture that was trained with labels; the
            same protocols.

    Returns:
        Markdown: the paper's claims (DeeperCluster, arXiv 1905.01278, section 3), the gap that was
        measured for each, and the gap of every layer.

    Raises:
        ConfigError: If a card cannot be read, or they have no number in common.
    """
    rows, reference = read_cards([card]), read_cards([supervised])
    pairs = _pairs(rows, reference)
    if not pairs:
        raise ConfigError(f"{card} and {supervised} have no number of the same protocol in common")
    claims = [
        (
            "detection on VOC07, convolutions frozen",
            "6 % below supervised",
            f"{_NOT_MEASURED}: this package has no detection",
        ),
        (
            "classification on VOC07, convolutions frozen",
            "10 % below supervised",
            _gap(pairs, "voc07", "voc-svm", "map"),
        ),
        (
            "the same, all layers fine-tuned",
            "less than 5 % below supervised",
            f"{_NOT_MEASURED}: this package fine-tunes on single labels alone",
        ),
        (
            "linear probes on Places205",
            "matches supervised at all layers",
            _layers(pairs, "places205"),
        ),
        (
            "linear probes on ImageNet",
            "matches supervised up to the 4th block",
            _layers(pairs, "imagenet"),
        ),
    ]
    every = [
        (
            one["data"],
            f"`{one['protocol']}`",
            one["metric"],
            one["layer"],
            f"{100 * one['value']:.2f}",
            f"{100 * two['value']:.2f}",
            f"{100 * (one['value'] - two['value']):+.2f}",
        )
        for one, two in pairs
    ]
    header = ("data", "protocol id", "metric", "layer", "model %", "supervised %", "difference")
    return "\n\n".join(
        (
            f"# {rows[0]['model']} against {reference[0]['model']}",
            markdown_table(("what", "DeeperCluster's claim", "measured"), claims),
            "The SVM on frozen features is what this package has for frozen convolutions; the "
            "paper trains the fully connected layers.",
            "## Every number in common",
            markdown_table(header, every) + "\n",
        )
    )


def _pairs(rows: Sequence[Row], reference: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Numbers of the same images, protocol, metric and layer, of shares alone."""
    keys = ("data", "protocol", "metric", "layer")
    known: dict[tuple[Any, ...], Row] = {tuple(row[key] for key in keys): row for row in reference}
    found = [(row, known.get(tuple(row[key] for key in keys))) for row in rows]
    return [
        (one, two)
        for one, two in found
        if two is not None
        and (one["metric"] in ("top1", "top5") or one["metric"].startswith("map"))
        and None not in (one["value"], two["value"])
    ]


def _of(pairs: Sequence[tuple[Row, Row]], data: str, family: str, metric: str) -> list[Any]:
    return [
        (one, two)
        for one, two in pairs
        if (one["data"], one["family"], one["metric"]) == (data, family, metric)
    ]


def _gap(pairs: Sequence[tuple[Row, Row]], data: str, family: str, metric: str) -> str:
    found = _of(pairs, data, family, metric)
    if not found:
        return f"{_NOT_MEASURED}: no card has {family} on {data}"
    one, two = found[0]
    return f"{100 * (one['value'] - two['value']):+.2f} points ({metric}, `{one['protocol']}`)"


def _layers(pairs: Sequence[tuple[Row, Row]], data: str) -> str:
    found = _of(pairs, data, "linear", "top1")
    if not found:
        return f"{_NOT_MEASURED}: no card has a linear probe on {data}"
    return ", ".join(
        f"{one['layer'].partition('.')[0]} {100 * (one['value'] - two['value']):+.2f}"
        for one, two in found
    )
