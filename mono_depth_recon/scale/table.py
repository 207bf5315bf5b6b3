"""The scale sources by name, and the texts that follow from them. A new source is one file and one row here."""

from __future__ import annotations

from typing import Any

from ..printing import alternatives
from .base import ScaleSource
from .evidence import Kind
from .fixed import FixedScale
from .ground_plane import GroundPlaneScale
from .marker import MarkerScale
from .none import NoScale
from .odometry import OdometryScale
from .points import PointsScale
from .reference import ReferenceScale
from .settings import ScaleSettings

SCALE_SOURCES: dict[str, type[ScaleSource]] = {
    source.name: source
    for source in (
        NoScale,
        FixedScale,
        ReferenceScale,
        PointsScale,
        MarkerScale,
        GroundPlaneScale,
        OdometryScale,
    )
}


def source_of(settings: ScaleSettings) -> type[ScaleSource]:
    """The source that `scale.source` names."""
    return SCALE_SOURCES[settings.source]


def source_in_effect(settings: ScaleSettings, metric: bool) -> type[ScaleSource] | None:
    """The source that scales a model's output; None for a `metric` model unless `scale.correct_metric` is on."""
    source = source_of(settings)
    return source if not metric or (source.gives_metres and settings.correct_metric != "off") else None


def sources_with_metres() -> list[str]:
    """Names of the sources that can give metres."""
    return [name for name, source in SCALE_SOURCES.items() if source.gives_metres]


def source_fitted_to(kind: Kind[Any]) -> type[ScaleSource]:
    """The first source that is fitted to evidence of `kind`. Raises KeyError where there is none."""
    for source in SCALE_SOURCES.values():
        if kind in source.needs:
            return source
    raise KeyError(kind.name)


def sources_by_kind() -> dict[Kind[Any], list[str]]:
    """Every kind of evidence that some source needs, with the names of those sources."""
    kinds: dict[Kind[Any], list[str]] = {}
    for name, source in SCALE_SOURCES.items():
        for kind in source.needs:
            kinds.setdefault(kind, []).append(name)
    return kinds


def parameter_help() -> str:
    """The help of the parameter `scale.source`."""
    sources = [f"{name} ({source.help})" if source.help else name for name, source in SCALE_SOURCES.items()]
    return (
        f"how a relative model gets metres: {', '.join(sources)}; a metric model keeps its own, unless "
        "scale.correct_metric is on"
    )


def no_metres(model: str) -> str:
    """Why the relative model called `model` gives no metres, and the ways to get them."""
    ways = [f"scale.source={name} {SCALE_SOURCES[name].remedy}".rstrip() for name in sources_with_metres()]
    return (
        f"model {model} gives relative disparity, which has no metres: set {alternatives(ways, ', or ')}, "
        "or choose a metric model (mono-depth-recon models lists them)"
    )


def not_needed(model: str, source: str) -> str:
    """The message where `scale.source` is set for the metric model called `model`."""
    return (
        f"scale.source={source} is for models of relative disparity, {model} predicts metres, which stay as they are: "
        f"leave scale.source at {NoScale.name}, or set scale.correct_metric to correct them"
    )


def idle_varying(settings: ScaleSettings) -> str:
    """The message where `scale.varying` is on and the source has no anchors for it; empty otherwise."""
    if not settings.varying or source_of(settings).varies:
        return ""
    takers = alternatives([name for name, source in SCALE_SOURCES.items() if source.varies], " and ")
    return (
        f"scale.varying has no effect with scale.source={settings.source}, which has no anchors all over the image: "
        f"it is for {takers}; leave it off"
    )
