"""Charts as inline SVG whose colours are those of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 440, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 40
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


def line_chart(
    series: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    *,
    reference: tuple[str, float] | None = None,
    log: bool = False,
    first: int = 1,
) -> str:
    """Lines over 1, 2, 3, ...

    Args:
        series: Numbers by name.
        xlabel: What is counted.
        ylabel: What the numbers are.
        reference: A level with a name, drawn dashed.
        log: Whether the scale is logarithmic; numbers below 1e-12 of the largest are left out.
        first: Number of the first point.
    """
    values = [v for row in series.values() for v in row]
    if log:
        floor = max(values) * 1e-12
        values = [v for v in values if v > floor]
        scale = _Scale(math.log10(min(values)), math.log10(max(values)), log=True)
    else:
        levels = [*values, *([reference[1]] if reference else [])]
        scale = _Scale(min(levels), max(levels))
    longest = max(len(row) for row in series.values())
    parts = [_frame(scale, xlabel, ylabel), _count_ticks(longest, first)]
    for number, row in enumerate(series.values()):
        points = [
            (_x(place, longest), scale.y(value))
            for place, value in enumerate(row)
            if not log or value > floor
        ]
        parts.append(_line(points, number))
    if reference is not None:
        y = scale.y(reference[1])
        parts.append(
            f'<line class="reference" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/>'
        )
    names = list(series) + ([f"{reference[0]} = {_number(reference[1])}"] if reference else [])
    label = f"{ylabel} by {xlabel}"
    return _svg(label, parts) + _legend(names, reference is not None)


def bar_chart(
    series: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    *,
    marked: int | None = None,
    reference: tuple[str, float] | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """Bars from 0, those of several series side by side.

    Args:
        series: Numbers (n,) by name.
        xlabel: What the bars are of.
        ylabel: What the numbers are.
        marked: A bar with another colour.
        reference: A level with a name, drawn dashed.
        names: Names of the bars, for their descriptions. Defaults to their numbers.
    """
    number = len(next(iter(series.values())))
    top = max([*(v for row in series.values() for v in row), reference[1] if reference else 0.0])
    scale = _Scale(0.0, top or 1.0)
    slot = _PLOT_WIDTH / number
    width = slot * (0.8 if slot > 4 else 1.0) / len(series)
    parts = [_frame(scale, xlabel, ylabel), _bar_ticks(number, slot)]
    for order, (name, row) in enumerate(series.items()):
        for place, value in enumerate(row):
            left = _LEFT + place * slot + (slot - width * len(series)) / 2 + order * width
            y = scale.y(float(value))
            who = names[place] if names else f"{xlabel} {place}"
            style = "marked" if place == marked else f"fill-{order}"
            parts.append(
                f'<rect class="{style}" x="{left:.2f}" y="{y:.2f}" width="{max(width, 0.6):.2f}" '
                f'height="{max(_HEIGHT - _BOTTOM - y, 0):.2f}">'
                f"<title>{html.escape(who)}: {_number(float(value))} "
                f"{html.escape(name)}</title></rect>"
            )
    if reference is not None:
        y = scale.y(reference[1])
        parts.append(
            f'<line class="reference" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/>'
        )
    shown = list(series) if len(series) > 1 else []
    shown += [f"{reference[0]} = {_number(reference[1])}"] if reference else []
    legend = _legend(shown, reference is not None, bars=True) if shown else ""
    return _svg(f"{ylabel} by {xlabel}", parts) + legend


class _Scale:
    """From numbers to heights, with ticks at round numbers.

    Args:
        low: Smallest number, or its decadic logarithm.
        high: Largest.
        log: Whether these are logarithms.
    """

    def __init__(self, low: float, high: float, log: bool = False) -> None:
        self.log = log
        if high - low < 1e-9 * max(1.0, abs(high)):
            low, high = (low - 0.5, high + 0.5) if log or low else (0.0, high or 1.0)
        step = _round_step((high - low) / 4)
        if log:  # ticks at whole powers of ten
            step = max(1.0, math.ceil(step))
        self.low = math.floor(low / step + 1e-9) * step
        self.high = math.ceil(high / step - 1e-9) * step
        count = round((self.high - self.low) / step)
        self.ticks = [self.low + step * place for place in range(count + 1)]

    def y(self, value: float) -> float:
        """Height of a number."""
        place = math.log10(value) if self.log else value
        return self.at((place - self.low) / (self.high - self.low))

    def at(self, part: float) -> float:
        """Height of a part of the scale."""
        return _TOP + _PLOT_HEIGHT * (1 - part)

    def lines(self) -> list[tuple[float, str]]:
        """Height and text of each tick."""
        span = self.high - self.low
        return [
            (self.at((tick - self.low) / span), f"1e{tick:.0f}" if self.log else _number(tick))
            for tick in self.ticks
        ]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def _number(value: float) -> str:
    """A number with three digits or so."""
    if value == 0 or 0.001 <= abs(value) < 100_000:
        text = f"{value:.4g}"
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return f"{value:.1e}"


def _x(place: float, longest: int) -> float:
    return _LEFT + (_PLOT_WIDTH * place / (longest - 1) if longest > 1 else _PLOT_WIDTH / 2)


def _frame(scale: _Scale, xlabel: str, ylabel: str) -> str:
    lines = []
    for y, text in scale.lines():
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{text}</text>'
        )
    middle = _LEFT + _PLOT_WIDTH / 2
    lines.append(
        f'<text class="middle" x="{middle}" y="{_HEIGHT - 6}">{html.escape(xlabel)}</text>'
    )
    centre = _TOP + _PLOT_HEIGHT / 2
    lines.append(
        f'<text class="middle" x="11" y="{centre}" transform="rotate(-90 11 {centre})">'
        f"{html.escape(ylabel)}</text>"
    )
    return "".join(lines)


def _count_ticks(longest: int, first: int) -> str:
    step = max(1, round(_round_step(max(longest - 1, 1) / 6)))
    texts = []
    for place in range(longest):
        count = place + first
        if longest == 1 or count % step == 0:
            texts.append(_x_tick(_x(place, longest), str(count)))
    return "".join(texts)


def _bar_ticks(number: int, slot: float) -> str:
    step = max(1, round(_round_step(number / 12)))
    places = range(0, number, step)
    return "".join(_x_tick(_LEFT + (place + 0.5) * slot, str(place)) for place in places)


def _x_tick(x: float, text: str) -> str:
    return f'<text class="middle" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}">{text}</text>'


def _line(points: Sequence[tuple[float, float]], number: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = ""
    if len(points) <= 40:
        dots = "".join(
            f'<circle class="fill-{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points
        )
    return f'<polyline class="line-{number}" points="{path}"/>{dots}'


def _legend(names: Sequence[str], with_reference: bool, bars: bool = False) -> str:
    if len(names) < 2 and not with_reference:
        return ""
    items = []
    for number, name in enumerate(names):
        last = with_reference and number == len(names) - 1
        style = "reference" if last else f"{'bar' if bars else 'line'} key-{number}"
        items.append(f'<li><span class="key {style}"></span>{html.escape(name)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _svg(label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )
