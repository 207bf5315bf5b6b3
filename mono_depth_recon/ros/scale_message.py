"""The topic `scale`: how the metres of a frame were made and whether they can be believed, as a DiagnosticArray."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ..frames import Frame, Judgement, Scale

_LEVELS = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR)


def scale_to_msg(frame: Frame, header: Header) -> DiagnosticArray:
    """A status `scale` where metres are made or corrected, and a status `guard` where the frame was judged."""
    status, judgement = [], frame.judgement
    withheld = judgement is not None and judgement.withheld
    if frame.scale is not None or (frame.no_metres and not withheld):
        status.append(_scale_status(frame))
    if judgement is not None:
        status.append(guard_status(judgement, "guard"))
    return DiagnosticArray(header=header, status=status)


def guard_status(judgement: Judgement, name: str, counts: Mapping[str, int] = MappingProxyType({})) -> DiagnosticStatus:
    """What the guard says of a frame, with its figures and `counts`: OK, WARN (noticed) or ERROR (unreliable)."""
    values = {
        "level": judgement.level,
        "reason": judgement.reason,
        "withheld": str(judgement.withheld).lower(),
        "compared": str(judgement.compared).lower(),
        **{key: f"{value:.4g}" for key, value in judgement.figures.items()},
        **{key: str(value) for key, value in counts.items()},
    }
    return DiagnosticStatus(
        level=_LEVELS[judgement.gravity],
        name=name,
        message=judgement.reason,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _scale_status(frame: Frame) -> DiagnosticStatus:
    """OK, WARN (held, or in doubt), STALE (past `scale.timeout`), ERROR (the frame has no metres)."""
    scale = frame.scale
    status = DiagnosticStatus(name="scale", level=_level(scale), message=frame.no_metres)
    if scale is not None:
        status.message, status.hardware_id = scale_text(scale), scale.source
        status.values = [KeyValue(key=key, value=value) for key, value in _values(scale).items()]
    return status


def scale_text(scale: Scale) -> str:
    """A scale in one line: what is wrong with it, else its numbers."""
    if scale.stale:
        return f"depth is stale: {scale.reason}"
    if scale.held:
        return f"scale of {scale.age:.1f} s ago: {scale.reason}"
    line = f"1 / depth = {scale.scale:.6g} * disparity + {scale.shift:.6g} 1/m"
    return scale.doubt or (line if scale.factors is None else f"{line}, varying by up to {100 * scale.variation:.0f} %")


def _level(scale: Scale | None) -> bytes:
    if scale is None:
        return DiagnosticStatus.ERROR
    if scale.stale:
        return DiagnosticStatus.STALE
    return DiagnosticStatus.WARN if scale.held or scale.doubt else DiagnosticStatus.OK


def _values(scale: Scale) -> dict[str, str]:
    return {
        "source": scale.source,
        "scale": f"{scale.scale:.9g}",
        "shift": f"{scale.shift:.9g}",
        "inliers": f"{scale.inliers:.4g}",
        "residual": f"{scale.residual:.4g}",
        "unexplained": f"{scale.unexplained:.4g}",
        "variation": f"{scale.variation:.4g}",
        "age": f"{scale.age:.3f}",
        "held_frames": str(scale.held),
        "stale": str(scale.stale).lower(),
    }
