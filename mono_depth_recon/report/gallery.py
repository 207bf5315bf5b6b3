"""Images in the report: frames with the predictions of all models, mean errors, views of clouds and meshes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ..arrays import Depth, Rgb
from ..atomic import folder_within
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
from .message import attribution_of, title_of
from .results import Results, Tree
from .templates import joined, render
from .views import TRUTH, SceneViews, draw_views, viewer_scene

_WIDTHS = ((110, 640), (260, 480), (10**9, 320))  # (most images, width in pixels)


@dataclass(frozen=True)
class Gallery:
    """The parts of the page with images, empty if there are none; views by recording."""

    frames: Markup
    heats: Markup
    views: dict[str, Markup]


def make_gallery(results: Results, made: Sequence[RecordingFrames]) -> Gallery:
    """Images of all recordings for the page; also writes them as PNG files to pictures/ of the results."""
    folder = folder_within(results.folder, "pictures")
    pictures = sum(2 + 2 * len(frame.depths) for each in made for frame in each.shown)
    width = next(width for most, width in _WIDTHS if pictures <= most)
    scenes = sum(bool(each.shown) for each in made)
    return Gallery(
        joined(_frames(results, each, width, folder) for each in made),
        joined(_heats(results, each, folder) for each in made if each.heats),
        {each.recording: _views(results, each, scenes, folder) for each in made if each.shown},
    )


def _frames(results: Results, made: RecordingFrames, width: int, folder: Path) -> Markup:
    title = title_of(made.recording)
    if not made.shown:
        reason = f"No images: {made.failure or 'no frame has a prediction'}"
        return render("recording", title=title, body=Markup('<p class="missing">{}</p>').format(reason))
    limits = common_limits({frame.name: frame.truth for frame in made.shown})
    middle = _middle(made.shown)
    for place, frame in enumerate(made.shown, 1):
        if frame.depths:
            sheet = _comparison_sheet(results, made.recording, frame, limits)
            write_png(folder / f"{made.recording}_frame_{place}.png", sheet)
    rule = (
        f"Shown: {made.rule}. All depth images of this recording share one scale; relative models "
        "are first aligned to the truth by scale and shift in disparity."
    )
    frames = [{**_frame(results, frame, limits, width), "open": frame is middle} for frame in made.shown]
    return render("frames", recording=made.recording, title=title, rule=rule, bars=_bars(limits), frames=frames)


def _comparison_sheet(results: Results, recording: str, frame: ShownFrame, limits: tuple[float, float]) -> Rgb:
    names = {results.names[model]: depth for model, depth in frame.depths.items()}
    notes = {results.names[model]: _abs_rel_text(depth, frame.truth) for model, depth in frame.depths.items()}
    title = f"{title_of(recording)}, {frame.reason}"
    return comparison(frame.sample.rgb, frame.truth, names, notes, title, limits, attribution_of([recording]))


def _middle(shown: Sequence[ShownFrame]) -> ShownFrame:
    return next((frame for frame in shown if frame.reason == "median"), shown[len(shown) // 2])


def _frame(results: Results, frame: ShownFrame, limits: tuple[float, float], width: int) -> Tree:
    span = f"{number(limits[0])} to {number(limits[1])} m"
    truth_alt = f"True depth, {frame.reason}, colours from {span}"
    first = [
        _picture(frame.sample.rgb, "colour", "", f"Colour image, {frame.reason}", "Colour", width),
        _picture(colorize_depth(frame.truth, *limits), "truth", "", truth_alt, "Truth", width),
    ]
    models = [
        {
            "name": results.names[model],
            "missing": frame.missing.get(model, "no prediction"),
            "pictures": _model_pair(results.names[model], frame, frame.depths[model], limits, width)
            if model in frame.depths
            else [],
        }
        for model in results.models
    ]
    return {"reason": frame.reason, "caption": frame.caption, "first": first, "models": models}


def _model_pair(name: str, frame: ShownFrame, depth: Depth, limits: tuple[float, float], width: int) -> list[Tree]:
    """The images of a prediction and its error."""
    score = _abs_rel_text(depth, frame.truth)
    made_alt = f"Depth by {name}, {frame.reason}, {score}"
    error_alt = f"Error of {name}, {frame.reason}: blue too near, red too far"
    error = colorize_error(relative_error(depth, frame.truth))
    return [
        _picture(colorize_depth(depth, *limits), "prediction", name, made_alt, name, width, score),
        _picture(error, "error", name, error_alt, "Error", width),
    ]


def _abs_rel_text(depth: Depth, truth: Depth) -> str:
    both = np.isfinite(truth) & np.isfinite(depth) & (depth > 0)
    try:
        return f"AbsRel {depth_errors(depth[both], truth[both]).abs_rel:.3f}"
    except DataError:
        return "nothing to compare"


def _picture(image: Rgb, kind: str, model: str, alt: str, caption: str, width: int, note: str = "") -> Tree:
    """The template's values for an image that is embedded in the page."""
    shown = min(width, image.shape[1])
    return {
        "src": _inlined(image, width),
        "alt": alt,
        "kind": kind,
        "model": model,
        "width": shown,
        "height": round(image.shape[0] * shown / image.shape[1]),
        "caption": caption,
        "note": note,
    }


def _inlined(image: Rgb, width: int, quality: int = 82) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp(image, width, quality)).decode('ascii')}"


def _bars(limits: tuple[float, float]) -> list[Tree]:
    near, far = limits
    depth = [(value, f"{value:g} m") for value in round_steps(near, far)]
    percent = 100 * ERROR_LIMIT
    error = [
        (value, f"{value:+.0f} %".replace("-", "−") if value else "0") for value in np.linspace(-percent, percent, 5)
    ]
    return [
        _bar("Depth, black unknown", depth_stops(), near, far, depth),
        _bar("Error of depth, blue too near, red too far", error_stops(), -percent, percent, error),
    ]


def _bar(label: str, stops: Sequence[str], low: float, high: float, ticks: Iterable[tuple[float, str]]) -> Tree:
    """The template's values for a colour bar; ticks are (value, text)."""
    places = [(f"{100 * (value - low) / (high - low):.1f}", text) for value, text in ticks]
    return {"label": label, "stops": stops, "ticks": places}


def _heats(results: Results, made: RecordingFrames, folder: Path) -> Markup:
    named = {results.names[model]: heat for model, heat in made.heats.items()}
    title = title_of(made.recording)
    sheet = heat_sheet(named, f"{title}: mean error of {made.heat_frames} frames", attribution_of([made.recording]))
    write_png(folder / f"{made.recording}_mean_error.png", sheet)
    pictures = [
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
    scale = _bar("Mean error", heat_stops(), 0, 100 * HEAT_LIMIT, ticks)
    return render("heats", title=title, frames=made.heat_frames, pictures=pictures, scale=scale)


def _views(results: Results, made: RecordingFrames, scenes: int, folder: Path) -> Markup:
    frame = _middle(made.shown)
    drawn = draw_views(frame)
    names = {TRUTH: "Truth", **results.names}
    order = [name for name in (TRUTH, *results.models) if (name, "cloud", VIEWS[0].name) in drawn.pictures]
    if not order:
        return Markup("")
    columns = [(kind, view.name) for kind in ("cloud", "mesh") for view in VIEWS]
    panels = [
        Panel(drawn.pictures[name, kind, view], names[name], f"{kind}, {view}")
        for name in order
        for kind, view in columns
    ]
    title = f"{title_of(made.recording)}, {frame.reason}: the same viewpoints"
    sheet = compose(panels, title, attribution_of([made.recording]), columns=len(columns))
    write_png(folder / f"{made.recording}_views.png", sheet)
    return render(
        "views",
        reason=frame.reason,
        recording=made.recording,
        scene=viewer_scene(frame, names, scenes),
        rows=[{"name": names[name], "views": _row_of_views(drawn, name, names[name], columns)} for name in order],
        missing=[(names[name], reason) for name, reason in drawn.missing.items()],
    )


def _row_of_views(drawn: SceneViews, name: str, label: str, columns: Sequence[tuple[str, str]]) -> list[Tree]:
    return [
        {
            "src": _inlined(drawn.pictures[name, kind, view], 400, 80),
            "alt": f"{kind} of {label}, {view}",
            "caption": f"{kind.replace('cloud', 'point cloud')}, {view}",
        }
        for kind, view in columns
    ]
