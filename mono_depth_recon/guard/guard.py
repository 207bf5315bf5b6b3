"""The guard of one camera: image and depth of every frame, and what is remembered of the frames before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..config import GuardConfig
from ..frames import Judgement
from .comparison import Change, View, change, view_of
from .drift import Drift
from .picture import Picture, picture_of
from .quality import ImageQuality, quality_of, remarks_on
from .remark import Remark
from .smoothing import smoothed

_BACK_S = 1.0  # a frame that is older by more begins anew


@dataclass(frozen=True, eq=False)
class _Memory:
    """The last frame: its view, its depth if that is blended into the next, and the drift up to it."""

    stamp: float
    view: View
    depth: Depth | None
    drift: Drift


class Guard:
    """Judges the frames of one camera in the order of their stamps.

    A frame may be judged again: it is compared with the same earlier one. Where frames cannot be compared (the first,
    after a gap, another scene, too few corners) the next ones are compared from there on.
    """

    def __init__(self) -> None:
        self._last: _Memory | None = None
        self._earlier: _Memory | None = None

    def judge(
        self, rgb: Rgb, depth: Depth | None, camera: PinholeCamera, stamp: float, limits: GuardConfig
    ) -> tuple[Judgement, Depth | None]:
        """Judges an image (H, W, 3) and its depth (H, W) in metres, None where it has none, at `stamp` (s).

        Returns the depth too: blended with the previous one by `guard.smoothing`, None where the frame is withheld.
        `camera` is that of both arrays.
        """
        picture = picture_of(rgb)
        quality = quality_of(picture)
        remarks = remarks_on(quality, limits)
        if depth is None:
            return _judgement(remarks, quality, None, Drift()), None
        changed, drift, depth = self._compared(picture, depth, camera, stamp, limits, remarks)
        judgement = _judgement(remarks, quality, changed, drift)
        if judgement.level == "ERROR" and limits.on_unreliable == "withhold":
            return replace(judgement, withheld=True), None
        return judgement, depth

    def _compared(
        self,
        picture: Picture,
        depth: Depth,
        camera: PinholeCamera,
        stamp: float,
        limits: GuardConfig,
        remarks: list[Remark],
    ) -> tuple[Change | None, Drift, Depth]:
        """What changed since the previous frame, if known; adds to `remarks`."""
        last = self._previous(stamp, limits)
        view, out = view_of(picture, depth, camera), depth
        drift = Drift() if last is None else last.drift.interrupted()
        changed = None if last is None else change(last.view, view, depth)
        if last is not None and changed is not None:
            drift, found = last.drift.followed_by(changed, limits)
            remarks += found
            if last.depth is not None and abs(changed.scale) <= last.drift.limit(limits):
                out = smoothed(depth, last.depth, changed.motion, camera, limits.smoothing)
        if last is None or stamp > last.stamp:
            self._earlier, kept = last, out if limits.smoothing else None
            self._last = _Memory(stamp, view, kept, drift)
        return changed, drift, out

    def _previous(self, stamp: float, limits: GuardConfig) -> _Memory | None:
        """The frame to compare with, if it is not too old."""
        last = self._last
        if last is not None and stamp == last.stamp:
            last = self._earlier
        if last is None or (limits.max_gap and stamp - last.stamp > limits.max_gap):
            return None
        return None if stamp < last.stamp - _BACK_S else last


def _judgement(remarks: list[Remark], quality: ImageQuality, changed: Change | None, drift: Drift) -> Judgement:
    nan = float("nan")
    grave = any(remark.grave for remark in remarks)
    return Judgement(
        level="ERROR" if grave else "WARN" if remarks else "OK",
        reason="; ".join(remark.text for remark in remarks),
        kind="; ".join(remark.kind for remark in remarks),
        compared=changed is not None,
        figures={
            "brightness": quality.brightness,
            "clipped": quality.clipped,
            "edge_width_px": quality.edge_width,
            "texture": quality.texture,
            "scale_change": nan if changed is None else changed.scale,
            "scale_noise": drift.noise,
            "structure_noise": drift.flicker,
            "structure_changed": nan if changed is None else changed.moved,
            "corners": 0 if changed is None else changed.corners,
        },
    )
