"""/diagnostics: rate, latency per step, dropped frames, last error, model and device, a relative model's scale."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .frame_worker import FrameStats


class Diagnosis:
    """Turns the counters of the frame path into a DiagnosticArray; OK, WARN or ERROR since the last report."""

    def __init__(self, name: str, hardware: str, model: str) -> None:
        self._name, self._hardware, self._model = name, hardware, model
        self._seen = (0, 0, 0, 0)

    def report(self, stats: FrameStats, stamp: Time, idle: str, scale_source: str = "") -> DiagnosticArray:
        """One status; `idle` says why nothing flows, for the time in which nothing does.

        `scale_source` is that of a relative model, empty for a metric one.
        """
        level, message = self._judge(stats, idle)
        values = {
            "model": self._model,
            "device": self._hardware,
            "rate_hz": f"{stats.rate_hz():.1f}",
            "latency_p50_ms": f"{stats.latency_ms(0.5):.1f}",
            "latency_p95_ms": f"{stats.latency_ms(0.95):.1f}",
            "frames_received": str(stats.received),
            "frames_published": str(stats.published),
            "frames_dropped": str(stats.dropped),
            "frames_refused": str(stats.refused),
            "last_error": stats.last_error,
        }
        values |= _scale_values(stats, scale_source) if scale_source else {}
        values |= {f"step_{name}_ms": f"{value:.2f}" for name, value in stats.steps_ms().items()}
        status = DiagnosticStatus(
            level=level,
            name=self._name,
            message=message,
            hardware_id=self._hardware,
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = stamp
        return array

    def _judge(self, stats: FrameStats, idle: str) -> tuple[bytes, str]:
        counts = (stats.received, stats.published, stats.refused, stats.without_metres)
        received, published, refused, bare = (now - before for now, before in zip(counts, self._seen, strict=True))
        self._seen = counts
        if refused and not published:
            return DiagnosticStatus.ERROR, stats.last_error
        if refused:
            return DiagnosticStatus.WARN, f"{refused} of {received} frames refused: {stats.last_error}"
        if bare:
            return DiagnosticStatus.WARN, f"{bare} of {received} frames without metres: {stats.last_error}"
        if published:
            return DiagnosticStatus.OK, f"{stats.rate_hz():.1f} Hz, {stats.latency_ms(0.5):.0f} ms"
        return (
            (DiagnosticStatus.OK, "nobody subscribes: nothing is computed")
            if received
            else (DiagnosticStatus.WARN, idle)
        )


def _scale_values(stats: FrameStats, source: str) -> dict[str, str]:
    values = {"scale_source": source, "frames_without_metres": str(stats.without_metres)}
    scale = stats.scale
    if scale is not None:
        values |= {"scale": f"{scale.scale:.6g}", "shift": f"{scale.shift:.6g}"}
    if scale is not None and source == "reference":
        values |= {"scale_inliers": f"{scale.inliers:.2f}", "scale_held_frames": str(scale.held)}
    return values
