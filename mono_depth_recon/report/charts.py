"""Line charts and scatter plots as SVG that takes its colours from the page: light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ..pictures.panels import round_steps
from .html import Html, breakable, element, joined

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 40
_DECIMALS = ((1000, 0), (100, 1), (10, 2), (0.1, 3), (0.01, 4))  # below: 5
COLORS = 8  # classes s0 to s7 of the style sheet


@dataclass(frozen=True)
class Series:
    """A line: values by place on the axis, NaN a gap. `style` is its class: s0 to s7, or 'plain' for a reference."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    points: bool = True


@dataclass(frozen=True)
class Axis:
    """A label and, where they are not round numbers, the ticks: place and text. `least`, `most` hold the ends."""

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


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Html:
    """A figure with its title as caption; each point tells its value when pointed at. Empty where nothing is known.

    Lines that lie beyond `y.most` are named in the caption instead.
    """
    beyond = [line for line in series if y.most is not None and _least(line.y) > y.most]
    series = [line for line in series if line not in beyond]
    known = [(a, b) for line in series for a, b in zip(line.x, line.y, strict=True) if math.isfinite(b)]
    if not known:
        return Html("")
    across = _scale([a for a, _ in known], x, _LEFT, _WIDTH - _RIGHT)
    up = _scale([b for _, b in known], y, _HEIGHT - _BOTTOM, _TOP)
    drawn = [_grid(across, up, x, y), *(_line(line, across, up) for line in series)]
    described = "; ".join(f"{line.name}: {_span(line.y)}" for line in [*series, *beyond])
    left_out = "; ".join(f"{line.name}: {_span(line.y)}" for line in beyond)
    note = element("small", breakable(f"beyond the axis: {left_out}")) if beyond else None
    svg = element(
        "svg",
        element("desc", described),
        *drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{title}. {described}",
        xmlns="http://www.w3.org/2000/svg",
    )
    return element("figure", element("figcaption", breakable(title), note), svg, class_="chart")


def readable_end(series: Sequence[Series]) -> float | None:
    """Where an axis of errors ends so that one line far above all others does not flatten them; None: at the largest.

    Four times the median of the lines' medians.
    """
    medians = [median(known) for line in series if (known := [value for value in line.y if math.isfinite(value)])]
    if len(medians) < 2 or max(medians) <= 4 * median(medians):
        return None
    kept = [value for line in series for value in line.y if value <= 4 * median(medians)]
    return 1.06 * max(kept)


def scatter_chart(
    title: str, x_values: Sequence[float], y_values: Sequence[float], x: Axis, y: Axis, ideal: Series, note: str
) -> Html:
    """Dots of pixels and the line where they should lie."""
    across = _scale(x_values, x, _LEFT, _WIDTH - _RIGHT)
    up = _scale(y_values, y, _HEIGHT - _BOTTOM, _TOP)
    dots = "".join(f"M{across(a):.1f} {up(b):.1f}h.01" for a, b in zip(x_values, y_values, strict=True))
    svg = element(
        "svg",
        _grid(across, up, x, y),
        _line(ideal, across, up),
        element("path", d=dots, class_="dots"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{title}. {note}",
    )
    return element("figure", element("figcaption", breakable(title), element("small", note)), svg, class_="chart")


def legend(names: Sequence[tuple[str, str]]) -> Html:
    """Names beside their colours: (name, style)."""
    items = [
        element("li", element("i", class_=style, aria_hidden="true"), element("span", breakable(name)))
        for name, style in names
    ]
    return element("ul", items, class_="legend")


def number(value: float) -> str:
    """Three figures or more, no exponent where that can be read: 0.0155, 0.155, 12.30, 1,240; '–' where unknown."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    decimals = next((count for least, count in _DECIMALS if size >= least), 5) if size else 3
    return f"{value:,.{decimals}f}".replace("-", "−") if size >= 1e-4 or not size else f"{value:.1e}".replace("-", "−")


def _scale(values: Sequence[float], axis: Axis, start: float, end: float) -> _Scale:
    low = min(values) if axis.least is None else axis.least
    high = max(values) if axis.most is None else axis.most
    if not low < high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    room = 0.06 * (high - low)
    return _Scale(
        low if axis.least is not None else low - room, high if axis.most is not None else high + room, start, end
    )


def _grid(across: _Scale, up: _Scale, x: Axis, y: Axis) -> Html:
    made = []
    for value, text in y.ticks or _round(up):
        at = f"{up(value):.1f}"
        made += [
            element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at, class_="grid"),
            element("text", text, x=_LEFT - 6, y=f"{up(value) + 3.5:.1f}", text_anchor="end"),
        ]
    for value, text in x.ticks or _round(across):
        made.append(element("text", text, x=f"{across(value):.1f}", y=_HEIGHT - _BOTTOM + 15, text_anchor="middle"))
    base = _HEIGHT - _BOTTOM
    made += [
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="base"),
        element("text", x.label, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, text_anchor="middle", class_="label"),
        element(
            "text",
            y.label,
            transform=f"translate(11 {(_TOP + base) / 2:.0f}) rotate(-90)",
            text_anchor="middle",
            class_="label",
        ),
    ]
    return joined(made)


def _round(scale: _Scale) -> list[tuple[float, str]]:
    return [(value, f"{value:g}".replace("-", "−")) for value in round_steps(scale.low, scale.high)]


def _line(line: Series, across: _Scale, up: _Scale) -> Html:
    path, pen = [], "M"
    dots = []
    for a, b in zip(line.x, line.y, strict=True):
        if not math.isfinite(b) or b > up.high:
            pen = "M"
            continue
        path.append(f"{pen}{across(a):.1f} {up(b):.1f}")
        pen = "L"
        if line.points:
            dots.append(
                element(
                    "circle",
                    element("title", f"{line.name}: {number(b)}"),
                    cx=f"{across(a):.1f}",
                    cy=f"{up(b):.1f}",
                    r=2.6,
                )
            )
    return element("g", element("path", d="".join(path)), dots, class_=f"line {line.style}")


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if math.isfinite(value)), default=-math.inf)


def _span(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return f"{number(min(known))} to {number(max(known))}" if known else "unknown"
