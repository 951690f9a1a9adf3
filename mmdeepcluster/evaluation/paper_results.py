"""Numbers that papers and model zoos published, as rows of a table."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

TAGS = {"S": "paper", "C": "released code or model zoo", "P": "posted", "M": "from memory"}


@cache
def paper_results() -> tuple[dict[str, Any], ...]:
    """The rows of ``paper_results.yaml``, one per number.

    Returns:
        Rows with ``model``, ``data``, ``protocol``, ``family`` (what it measures), ``metric``,
        ``layer``, ``value`` (0 to 1), ``tag`` and ``source``.
    """
    content = _content()
    return tuple(
        {
            "model": row["model"],
            "data": row["data"],
            "protocol": row["id"],
            "family": content["protocols"][row["id"]]["family"],
            "metric": row["metric"],
            "layer": layer,
            "value": value / 100,
            "tag": row["tag"],
            "source": row["source"],
        }
        for row in content["rows"]
        for layer, value in row["values"].items()
    )


def paper_protocols() -> dict[str, str]:
    """What each protocol id of the papers' rows means."""
    return {name: entry["about"] for name, entry in _content()["protocols"].items()}


def _content() -> dict[str, Any]:
    text = resources.files("mmdeepcluster.evaluation").joinpath("paper_results.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return content
