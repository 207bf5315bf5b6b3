"""Line charts and scatter plots as SVG with colours from the page's style sheet: light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from markupsafe import Markup

from ..pictures.panels import round_steps
from .results import Tree
from .templates import breakable, render

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 40
_FRAME = {
    "width": _WIDTH,
    "height": _HEIGHT,
    "left": _LEFT,
    "right": _WIDTH - _RIGHT,
    "top": _TOP,
    "base": _HEIGHT - _BOTTOM,
}
_DECIMALS = ((1000, 0), (100, 1), (10, 2), (0.1, 3), (0.01, 4))  # below: 5
_LARGEST = 1e30  # that is drawn
COLORS = 8  # classes s0 to s7 of the style sheet


@dataclass(frozen=True)
class Series:
    """A line: y by x, NaN for gaps. `style` is its CSS class: s0 to s7, or 'plain' for a reference."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    points: bool = True


@dataclass(frozen=True)
class Axis:
    """A label and, unless they are round numbers, the ticks: position and text. `least`, `most` fix the ends."""

    label: str
    ticks: Sequence[tuple[float, str]] = ()
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Markup:
    """A figure with its title as caption; hovering over a point shows its value. Empty if nothing is known.

    Lines entirely above `y.most` are named in the caption instead.
    """
    series = [_drawable(line) for line in series]
    beyond = [line for line in series if y.most is not None and _least(line.y) > y.most]
    series = [line for line in series if line not in beyond]
    known = [(a, b) for line in series for a, b in zip(line.x, line.y, strict=True) if math.isfinite(b)]
    if not known:
        return Markup("")
    across, up = _scales([a for a, _ in known], [b for _, b in known], x, y)
    left_out = "; ".join(f"{line.name}: {_span(line.y)}" for line in beyond)
    return render(
        "chart",
        title=title,
        note=breakable(f"outside the axis: {left_out}") if beyond else "",
        described="; ".join(f"{line.name}: {_span(line.y)}" for line in [*series, *beyond]),
        lines=[_line(line, across, up) for line in series],
        dots="",
        **_grid(across, up, x, y),
    )


def _drawable(line: Series) -> Series:
    """The points whose x is known and of a size that can be drawn; NaN for a y that is not."""
    pairs = zip(line.x, line.y, strict=True)
    points = [(a, b if abs(b) <= _LARGEST else math.nan) for a, b in pairs if abs(a) <= _LARGEST]
    return replace(line, x=[a for a, _ in points], y=[b for _, b in points])


def readable_end(series: Sequence[Series]) -> float | None:
    """The end of an error axis, so that one line far above the others does not flatten them; None: the largest value.

    The largest value up to four times the median of the lines' medians.
    """
    medians = [median(known) for line in series if (known := [value for value in line.y if math.isfinite(value)])]
    if len(medians) < 2 or max(medians) <= 4 * median(medians):
        return None
    kept = [value for line in series for value in line.y if value <= 4 * median(medians)]
    return 1.06 * max(kept)


def scatter_chart(
    title: str, x_values: Sequence[float], y_values: Sequence[float], x: Axis, y: Axis, ideal: Series, note: str
) -> Markup:
    """Dots of pixels and the line on which they should lie."""
    across, up = _scales(x_values, y_values, x, y)
    return render(
        "chart",
        title=title,
        note=note,
        described=note,
        lines=[_line(ideal, across, up)],
        dots="".join(f"M{across(a):.1f} {up(b):.1f}h.01" for a, b in zip(x_values, y_values, strict=True)),
        **_grid(across, up, x, y),
    )


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Names beside their colours: (name, style)."""
    return render("legend", names=names)


def number(value: float) -> str:
    """Three or more digits, no exponent if readable: 0.0155, 0.155, 12.30, 1,240; '–' if unknown."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    decimals = next((count for least, count in _DECIMALS if size >= least), 5) if size else 3
    return f"{value:,.{decimals}f}".replace("-", "−") if size >= 1e-4 or not size else f"{value:.1e}".replace("-", "−")


def _scales(x_values: Sequence[float], y_values: Sequence[float], x: Axis, y: Axis) -> tuple[_Scale, _Scale]:
    """Scales from values to positions in the chart, horizontal and vertical."""
    return _scale(x_values, x, _LEFT, _WIDTH - _RIGHT), _scale(y_values, y, _HEIGHT - _BOTTOM, _TOP)


def _scale(values: Sequence[float], axis: Axis, start: float, end: float) -> _Scale:
    low = min(values) if axis.least is None else axis.least
    high = max(values) if axis.most is None else axis.most
    if not low < high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    margin = 0.06 * (high - low)
    return _Scale(
        low if axis.least is not None else low - margin, high if axis.most is not None else high + margin, start, end
    )


def _grid(across: _Scale, up: _Scale, x: Axis, y: Axis) -> Tree:
    """The template's values for the axes."""
    return {
        "frame": _FRAME,
        "x_ticks": [(across(value), text) for value, text in x.ticks or _round(across)],
        "y_ticks": [(up(value), text) for value, text in y.ticks or _round(up)],
        "x_label": x.label,
        "y_label": y.label,
    }


def _round(scale: _Scale) -> list[tuple[float, str]]:
    return [(value, f"{value:g}".replace("-", "−")) for value in round_steps(scale.low, scale.high)]


def _line(line: Series, across: _Scale, up: _Scale) -> Tree:
    """The template's values for a line: its path with gaps, and its points with their values."""
    path, pen = [], "M"
    points = []
    for a, b in zip(line.x, line.y, strict=True):
        if not math.isfinite(b) or b > up.high:
            pen = "M"
            continue
        path.append(f"{pen}{across(a):.1f} {up(b):.1f}")
        pen = "L"
        if line.points:
            points.append((across(a), up(b), number(b)))
    return {"name": line.name, "style": line.style, "path": "".join(path), "points": points}


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if math.isfinite(value)), default=-math.inf)


def _span(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return f"{number(min(known))} to {number(max(known))}" if known else "unknown"
