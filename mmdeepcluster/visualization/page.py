"""Pages that are one file: no server, no network, nothing beside them."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

# Nothing may be fetched: a page shows what it holds, wherever it was copied to.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "font-src data:"
)


def html_page(
    title: str,
    body: str,
    *,
    data: Mapping[str, Any] | None = None,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> str:
    """Puts a page together.

    Names of files may hold bytes that are no UTF-8; in title and body ``?`` stands for them.

    Args:
        title: plain text.
        body: HTML of what stands below the title bar.
        data: values that JSON can hold; scripts read each with ``pageData(name)``.
        styles: names of files in ``visualization/assets``, after ``base.css``.
        scripts: names of files in ``visualization/assets``, after ``base.js``, in order.

    Returns:
        The whole document.

    Raises:
        ValueError: a value is NaN or infinite, which JSON does not know.
    """
    held = "\n".join(
        f'<script type="application/json" id="data-{html.escape(name)}">{_json(value)}</script>'
        for name, value in (data or {}).items()
    )
    css = "\n".join(_asset(name) for name in ("base.css", *styles))
    code = "\n".join(f"<script>\n{_asset(name)}\n</script>" for name in ("base.js", *scripts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(_readable(title))}</title>
<style>
{css}
</style>
</head>
<body>
{_readable(body)}
{held}
{code}
</body>
</html>
"""


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
