"""/diagnostics of a camera: rate, latency per step, drops, last error, model and device, scale; and of the map."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ...frames import Judgement
from ...fusion.fusion import BAD_POSE, FUSED, JUMP, MISFIT, NO_DEPTH, NO_POSE, SCALE_JUMP, STILL
from ...scale.base import ScaleSource
from ..frame_worker import FrameStats
from ..mapping.figures import MapFigures
from ..scale_message import guard_status, scale_text

REJECTED = (NO_POSE, BAD_POSE, JUMP, NO_DEPTH, SCALE_JUMP, MISFIT)
_KEYS = {
    FUSED: "integrated",
    STILL: "standing_still",
    JUMP: "rejected_by_pose_jump",
    BAD_POSE: "rejected_by_pose",
    SCALE_JUMP: "rejected_by_scale_jump",
    MISFIT: "rejected_by_misfit",
    NO_DEPTH: "without_depth",
}

UNCALIBRATED = "calibrate it: mono-depth-recon calibrate"
_COUNTED = ("received", "published", "refused", "without_metres", "unwanted", "withheld")


class Diagnosis:
    """Turns the counters of a camera into a DiagnosticArray; OK, WARN or ERROR since the last report."""

    def __init__(self, name: str, hardware: str, model: str) -> None:
        self._name, self._hardware, self._model = name, hardware, model
        self._seen = (0,) * len(_COUNTED)

    def report(
        self,
        stats: FrameStats,
        stamp: Time,
        idle: str,
        source: type[ScaleSource] | None = None,
        mapping: bool = False,
        evaluation: dict[str, str] | None = None,
        guess: str = "",
        overdue: str = "",
    ) -> DiagnosticArray:
        """One status of the camera, and one each of its evaluation and guard if these run.

        `idle` is why no image is processed, if so; `source` is the scale source in effect, None where a
        metric model keeps its metres; `mapping` tells that frames are fused; `evaluation` holds the values of
        `LiveEvaluation`; `guess` is what stands for the calibration, empty where there is one; `overdue` is the
        service that takes unusually long, empty where none does.
        """
        level, message = self._judge(stats, idle, mapping)
        if guess and level == DiagnosticStatus.OK:
            level, message = DiagnosticStatus.WARN, f"the camera is {guess}; {UNCALIBRATED}"
        if overdue and level == DiagnosticStatus.OK:
            level, message = DiagnosticStatus.WARN, overdue
        values = {
            "model": self._model,
            "device": self._hardware,
            "calibration": guess or "camera_info",
            "rate_hz": f"{stats.rate_hz():.1f}",
            "latency_p50_ms": f"{stats.latency_ms(0.5):.1f}",
            "latency_p95_ms": f"{stats.latency_ms(0.95):.1f}",
            "frames_received": str(stats.received),
            "frames_published": str(stats.published),
            "frames_dropped": str(stats.dropped),
            "frames_refused": str(stats.refused),
            "last_error": stats.last_error,
            "overdue_service": overdue,
        }
        values |= _scale_values(stats, source) if source is not None else {}
        values |= {f"step_{name}_ms": f"{value:.2f}" for name, value in stats.steps_ms().items()}
        status = DiagnosticStatus(
            level=level,
            name=self._name,
            message=message,
            hardware_id=self._hardware,
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        others = [] if evaluation is None else [self._evaluation_status(evaluation)]
        worst = stats.worst_judgement()
        others += [] if worst is None else [self._guard_status(worst, stats)]
        array = DiagnosticArray(status=[status, *others])
        array.header.stamp = stamp
        return array

    def _guard_status(self, worst: Judgement, stats: FrameStats) -> DiagnosticStatus:
        """The worst frame since the last report."""
        counts = {
            "frames_compared": stats.compared,
            "frames_noticed": stats.noticed,
            "frames_unreliable": stats.unreliable,
            "frames_withheld": stats.withheld,
        }
        return guard_status(worst, f"{self._name}: guard", counts)

    def _evaluation_status(self, values: dict[str, str]) -> DiagnosticStatus:
        reason, known = values["last_reason"], "abs_rel" in values
        message = f"AbsRel {values['abs_rel']}, delta1 {values['delta1']}" if known else "nothing compared yet"
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN if reason else DiagnosticStatus.OK,
            name=f"{self._name}: evaluation",
            message=reason or message,
            hardware_id=self._hardware,
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )

    def _judge(self, stats: FrameStats, idle: str, mapping: bool) -> tuple[bytes, str]:
        counts = tuple(getattr(stats, name) for name in _COUNTED)
        busy_since = stats.busy_since
        received, published, refused, bare, unwanted, withheld = (
            now - before for now, before in zip(counts, self._seen, strict=True)
        )
        self._seen = counts
        if refused and not published:
            return DiagnosticStatus.ERROR, stats.last_error
        if refused:
            return DiagnosticStatus.WARN, f"{refused} of {received} frames refused: {stats.last_error}"
        if bare:
            return DiagnosticStatus.WARN, f"{bare} of {received} frames without metres: {stats.last_error}"
        if withheld:
            return DiagnosticStatus.WARN, f"{withheld} of {received} frames withheld: see the status of the guard"
        if published and stats.scale is not None and (stats.scale.stale or stats.scale.doubt):
            return DiagnosticStatus.WARN, scale_text(stats.scale)
        if published:
            return DiagnosticStatus.OK, f"{stats.rate_hz():.1f} Hz, {stats.latency_ms(0.5):.0f} ms"
        if unwanted:
            return DiagnosticStatus.OK, f"nobody subscribes: {'the map alone' if mapping else 'nothing'} is computed"
        if busy_since is not None:
            return DiagnosticStatus.OK, f"computing a frame for {time.monotonic() - busy_since:.1f} s"
        return (DiagnosticStatus.WARN, idle) if idle else (DiagnosticStatus.OK, "images come")


class MapDiagnosis:
    """Turns the counters of the map into a DiagnosticStatus."""

    def __init__(self, name: str, hardware: str) -> None:
        self._name, self._hardware = name, hardware
        self._seen = (0, 0)

    def status(self, figures: MapFigures, overdue: str = "") -> DiagnosticStatus:
        """WARN where frames were left out since the last report, or a service of the map is `overdue`."""
        state = figures.state
        faults = figures.without_pose + figures.failed + sum(state.counts.get(status, 0) for status in REJECTED)
        fused, (faults_before, fused_before) = state.counts.get(FUSED, 0), self._seen
        self._seen = (faults, fused)
        message = f"{fused} frames fused, {state.blocks} blocks, {state.memory_mib:.0f} MiB"
        more = faults - faults_before
        if more > 0:
            message = f"{more} frames left out of the map, {max(0, fused - fused_before)} fused: {figures.last_reason}"
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN if more > 0 or overdue else DiagnosticStatus.OK,
            name=self._name,
            message=message if more > 0 else overdue or message,
            hardware_id=self._hardware,
            values=[KeyValue(key=k, value=v) for k, v in _map_values(figures).items()],
        )


def _map_values(figures: MapFigures) -> dict[str, str]:
    state = figures.state
    counts = {"frames_" + _KEYS[status]: str(state.counts.get(status, 0)) for status in _KEYS}
    return counts | {
        "frames_without_pose": str(figures.without_pose + state.counts.get(NO_POSE, 0)),
        "frames_dropped": str(figures.dropped),
        "frames_failed": str(figures.failed),
        "poses": figures.poses,
        "poses_refused": str(figures.refused_poses),
        "world_frame": figures.world,
        "blocks": str(state.blocks),
        "blocks_evicted": str(state.evicted),
        "memory_mib": f"{state.memory_mib:.0f}",
        "worker_restarts": str(figures.worker_restarts),
        "last_left_out": figures.last_reason,
    }


def _scale_values(stats: FrameStats, source: type[ScaleSource]) -> dict[str, str]:
    values = {"scale_source": source.name, "frames_without_metres": str(stats.without_metres)}
    return values if stats.scale is None else values | source.figures(stats.scale)
