"""Pictures in the report: frames with the predictions of all models, mean errors, views of clouds and meshes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Depth, Rgb
from ..atomic import writable_folder
from ..errors import DataError
from ..metrics.depth import depth_errors
from ..pictures.comparison import (
    ERROR_LIMIT,
    HEAT_LIMIT,
    colorize_error,
    colorize_heat,
    common_limits,
    comparison,
    depth_stops,
    error_stops,
    heat_sheet,
    heat_stops,
    relative_error,
    webp,
)
from ..pictures.panels import Panel, colorize_depth, compose, round_steps, write_png
from ..pictures.views import VIEWS
from .charts import number
from .frames import RecordingFrames, ShownFrame
from .html import Html, breakable, element, joined, script_json
from .message import attribution_of, title_of
from .results import Results
from .views import TRUTH, SceneViews, draw_views, viewer_scene

_WIDTHS = ((110, 640), (260, 480), (10**9, 320))  # up to so many pictures: so many pixels wide


@dataclass(frozen=True)
class Gallery:
    """The parts of the page that hold pictures, empty where there are none; the views by recording."""

    frames: Html
    heats: Html
    views: dict[str, Html]


def make_gallery(results: Results, made: Sequence[RecordingFrames]) -> Gallery:
    """Pictures of all recordings for the page; the same go as PNG files into pictures/ of the results."""
    folder = writable_folder(results.folder / "pictures")
    pictures = sum(2 + 2 * len(frame.depths) for each in made for frame in each.shown)
    width = next(width for most, width in _WIDTHS if pictures <= most)
    scenes = sum(bool(each.shown) for each in made)
    return Gallery(
        joined(_frames(results, each, width, folder) for each in made),
        joined(_heats(results, each, folder) for each in made if each.heats),
        {each.recording: _views(results, each, scenes, folder) for each in made if each.shown},
    )


def _frames(results: Results, made: RecordingFrames, width: int, folder: Path) -> Html:
    heading = element("h3", title_of(made.recording))
    if not made.shown:
        return element(
            "div",
            heading,
            element("p", f"No pictures: {made.failure or 'no frame has a prediction'}", class_="missing"),
            class_="recording",
        )
    limits = common_limits({frame.name: frame.truth for frame in made.shown})
    rule = element(
        "p",
        f"Shown: {made.rule}. Depth has one scale in all pictures of this recording; relative models "
        "are fitted to the truth by scale and shift in disparity first.",
        class_="rule",
    )
    middle = _middle(made.shown)
    details = []
    for number_of, frame in enumerate(made.shown, 1):
        details.append(_frame(results, frame, limits, width, frame is middle))
        names = {results.names[model]: depth for model, depth in frame.depths.items()}
        notes = {results.names[model]: _abs_rel_text(depth, frame.truth) for model, depth in frame.depths.items()}
        if names:
            title = f"{title_of(made.recording)}, {frame.reason}"
            sheet = comparison(
                frame.sample.rgb, frame.truth, names, notes, title, limits, attribution_of([made.recording])
            )
            write_png(folder / f"{made.recording}_frame_{number_of}.png", sheet)
    return element(
        "div",
        heading,
        rule,
        element("div", class_="explorer", data_explorer=True),
        _bars(limits),
        details,
        class_="recording",
        data_recording=made.recording,
    )


def _middle(shown: Sequence[ShownFrame]) -> ShownFrame:
    return next((frame for frame in shown if frame.reason == "median"), shown[len(shown) // 2])


def _frame(results: Results, frame: ShownFrame, limits: tuple[float, float], width: int, is_open: bool) -> Html:
    span = f"{number(limits[0])} to {number(limits[1])} m"
    first = [
        _picture(frame.sample.rgb, "colour", "", f"Colour image, {frame.reason}", "Colour", width),
        _picture(
            colorize_depth(frame.truth, *limits),
            "truth",
            "",
            f"True depth, {frame.reason}, colours from {span}",
            "Truth",
            width,
        ),
    ]
    columns = [element("div", first, class_="pair")]
    for model in results.models:
        columns.append(element("div", _model_pair(results, frame, model, limits, width), class_="pair"))
    summary = element("summary", element("b", frame.reason.capitalize()), element("small", frame.caption))
    return element(
        "details",
        summary,
        element("div", columns, class_="matrix"),
        class_="frame",
        data_frame=frame.reason,
        open=is_open,
    )


def _model_pair(results: Results, frame: ShownFrame, model: str, limits: tuple[float, float], width: int) -> Html:
    name = results.names[model]
    if model not in frame.depths:
        return element(
            "p",
            element("b", breakable(name)),
            element("span", frame.missing.get(model, "no prediction")),
            class_="missing",
        )
    depth = frame.depths[model]
    score = _abs_rel_text(depth, frame.truth)
    error = relative_error(depth, frame.truth)
    return joined(
        _picture(
            colorize_depth(depth, *limits),
            "prediction",
            name,
            f"Depth by {name}, {frame.reason}, {score}",
            name,
            width,
            score,
        ),
        _picture(
            colorize_error(error),
            "error",
            name,
            f"Error of {name}, {frame.reason}: blue too near, red too far",
            "Error",
            width,
        ),
    )


def _abs_rel_text(depth: Depth, truth: Depth) -> str:
    both = np.isfinite(truth) & np.isfinite(depth) & (depth > 0)
    try:
        return f"AbsRel {depth_errors(depth[both], truth[both]).abs_rel:.3f}"
    except DataError:
        return "nothing to compare"


def _picture(image: Rgb, kind: str, model: str, alt: str, caption: str, width: int, note: str = "") -> Html:
    shown = element(
        "img",
        src=_inlined(image, width),
        alt=alt,
        data_kind=kind,
        data_model=model or None,
        width=min(width, image.shape[1]),
        height=round(image.shape[0] * min(width, image.shape[1]) / image.shape[1]),
    )
    told = element("figcaption", element("b", breakable(caption)), element("small", note) if note else None)
    return element("figure", shown, told)


def _inlined(image: Rgb, width: int, quality: int = 82) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp(image, width, quality)).decode('ascii')}"


def _bars(limits: tuple[float, float]) -> Html:
    near, far = limits
    depth = [(value, f"{value:g} m") for value in round_steps(near, far)]
    error = [
        (value, f"{value:+.0f} %".replace("-", "−") if value else "0")
        for value in np.linspace(-100 * ERROR_LIMIT, 100 * ERROR_LIMIT, 5)
    ]
    return element(
        "div",
        bar("Depth, black unknown", depth_stops(), near, far, depth),
        bar("Error of depth, blue too near, red too far", error_stops(), -100 * ERROR_LIMIT, 100 * ERROR_LIMIT, error),
        class_="bars",
    )


def bar(label: str, stops: Sequence[str], low: float, high: float, ticks: Iterable[tuple[float, str]]) -> Html:
    """A colour bar with its ticks: (value, text)."""
    marks = [element("span", text, style=f"left:{100 * (value - low) / (high - low):.1f}%") for value, text in ticks]
    ramp = element("i", style=f"background:linear-gradient(90deg,{','.join(stops)})")
    return element(
        "div",
        element("small", label),
        ramp,
        element("div", marks, class_="ticks"),
        class_="bar",
        role="img",
        aria_label=label,
    )


def _heats(results: Results, made: RecordingFrames, folder: Path) -> Html:
    named = {results.names[model]: heat for model, heat in made.heats.items()}
    write_png(
        folder / f"{made.recording}_mean_error.png",
        heat_sheet(
            named,
            f"{title_of(made.recording)}: mean error of {made.heat_frames} frames",
            attribution_of([made.recording]),
        ),
    )
    figures = [
        _picture(
            colorize_heat(heat),
            "heat",
            name,
            f"Mean error of {name} at each pixel",
            name,
            400,
            f"mean {100 * float(np.nanmean(heat)):.1f} %",
        )
        for name, heat in named.items()
    ]
    ticks = [(value, f"{value:.0f} %") for value in np.linspace(0, 100 * HEAT_LIMIT, 6)]
    return element(
        "div",
        element("h3", title_of(made.recording)),
        element(
            "p",
            f"Mean of |d − t| / t at each pixel over {made.heat_frames} evenly spaced frames; grey "
            "where no frame has a truth.",
            class_="rule",
        ),
        element("div", figures, class_="tiles"),
        bar("Mean error", heat_stops(), 0, 100 * HEAT_LIMIT, ticks),
        class_="recording",
    )


def _views(results: Results, made: RecordingFrames, scenes: int, folder: Path) -> Html:
    frame = _middle(made.shown)
    drawn = draw_views(frame)
    names = {TRUTH: "Truth", **results.names}
    order = [name for name in (TRUTH, *results.models) if (name, "cloud", VIEWS[0].name) in drawn.pictures]
    if not order:
        return Html("")
    columns = [(kind, view.name) for kind in ("cloud", "mesh") for view in VIEWS]
    panels = [
        Panel(drawn.pictures[name, kind, view], names[name], f"{kind}, {view}")
        for name in order
        for kind, view in columns
    ]
    write_png(
        folder / f"{made.recording}_views.png",
        compose(
            panels,
            f"{title_of(made.recording)}, {frame.reason}: the same viewpoints",
            attribution_of([made.recording]),
            columns=len(columns),
        ),
    )
    viewer = element(
        "div",
        element("script", script_json(viewer_scene(frame, names, scenes)), type="application/json"),
        class_="viewer",
        data_viewer=True,
        data_recording=made.recording,
        data_frame=frame.reason,
    )
    missing = [element("p", f"{names[name]}: {reason}", class_="missing") for name, reason in drawn.missing.items()]
    rule = f"One frame ({frame.reason}) in 3D. Every model is seen from the places that suit the true cloud."
    return joined(element("p", rule, class_="rule"), viewer, _view_matrix(drawn, order, names, columns), missing)


def _view_matrix(
    drawn: SceneViews, order: Sequence[str], names: dict[str, str], columns: Sequence[tuple[str, str]]
) -> Html:
    rows = []
    for name in order:
        figures = [
            element(
                "figure",
                element(
                    "img",
                    src=_inlined(drawn.pictures[name, kind, view], 400, 80),
                    width=400,
                    height=300,
                    alt=f"{kind} of {names[name]}, {view}",
                ),
                element("figcaption", element("small", f"{kind.replace('cloud', 'point cloud')}, {view}")),
            )
            for kind, view in columns
        ]
        rows.append(
            element(
                "div",
                element("h4", breakable(names[name])),
                element("div", figures, class_="tiles four"),
                class_="view-row",
            )
        )
    return joined(rows)
