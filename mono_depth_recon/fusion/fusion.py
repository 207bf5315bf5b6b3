"""Decides which frames enter the map and at which scale, and gives the reason for every frame that is left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..cloud.cloud import Cloud
from ..config import FusionConfig
from ..errors import DataError
from ..mesh.mesh import Mesh
from ..poses import checked_pose, motion_between
from .deformation import MIN_POINTS, deformed_to_points
from .scale import Fit, corrected, fit_to_map, on_grid
from .triangulation import Triangulator
from .tsdf_map import TsdfMap
from .weights import pixel_weights

_RENDERED_WIDTH = 160  # pixels; size at which the map is rendered for the comparison with a frame
_FUSED_WIDTH = 320  # pixels; a frame is not reduced below this
_HALF_SUPPORT = 0.1  # support (see `deformed_to_points`) at which a pixel has half of its weight
_MIN_OVERLAP = 0.2  # share of the frame; with less neither its scale nor its fit can be judged
_MIN_AGREEMENT = 0.35  # share of the overlap; with less the frame shows another place than the pose says
_JITTER_M, _TURN_DEG_S = 0.05, 360.0  # noise of a pose from frame to frame; faster rotations are jumps of the pose

FUSED, STILL, NO_POSE, BAD_POSE, JUMP, NO_DEPTH, SCALE_JUMP, MISFIT = (
    "fused",
    "no motion",
    "no pose",
    "bad pose",
    "pose jump",
    "no depth",
    "scale jump",
    "does not fit the map",
)


@dataclass(frozen=True, eq=False)
class FusionFrame:
    """A frame for the map: `depth` (H, W) metres on the rectified grid of `camera`, `rgb` (H, W, 3), `sigma` or None.

    `stamp` in seconds; `T_world_camera` (4, 4), None where the pose is not known; `source` tells cameras apart.
    """

    rgb: Rgb
    depth: Depth
    camera: PinholeCamera
    stamp: float
    T_world_camera: Matrix | None
    sigma: Depth | None = None
    source: str = ""


class _Track:
    """What is known of the motion of one camera: its last fused pose, its last pose, and its keyframes."""

    def __init__(self) -> None:
        self.key_pose: Matrix | None = None
        self.last: tuple[float, Matrix] | None = None
        self.triangulator = Triangulator()


@dataclass(frozen=True)
class Outcome:
    """What became of a frame: `status` is one of this module's constants, `reason` explains why it was left out."""

    status: str
    reason: str = ""
    blocks: int = 0
    fit: Fit | None = None

    @property
    def rejected(self) -> bool:
        """Whether it was left out for a fault, not because the camera stood still."""
        return self.status not in (FUSED, STILL)


class Fusion:
    """Builds one map from a sequence of frames, of one camera or of several with poses in one world. Not thread-safe.

    Pixels are weighted by viewing angle, and by sigma where it is given. With `fusion.parallax` a frame's depth is
    first deformed to agree with points triangulated from the last keyframes, and weighted by how close such points are.
    Until the camera has moved enough for that the map is provisional; it starts anew at the first triangulated frame.
    A frame without triangulated points of its own must fit the depth rendered from the map; its scale error against the
    map is removed, from a provisional map only the share `fusion.align` of it. `counts` holds the number of frames by
    status, `provisional` the number of fused frames that were dropped with the provisional map.
    """

    def __init__(self, settings: FusionConfig) -> None:
        self.settings = settings
        self.map = TsdfMap(settings.voxel_size, settings.truncation, settings.max_blocks, settings.device)
        self.counts: Counter[str] = Counter()
        self.provisional = 0
        self._metric = False  # whether triangulation has given the map its metric scale
        self._tracks: defaultdict[str, _Track] = defaultdict(_Track)

    def reset(self) -> None:
        """Starts an empty map."""
        self.map.reset()
        self.counts.clear()
        self.provisional = 0
        self._metric = False
        self._tracks.clear()

    def wants(self, T_world_camera: Matrix, source: str = "") -> bool:
        """Whether the camera `source` has moved enough since its last fused frame."""
        key_pose = self._tracks[source].key_pose
        if key_pose is None or not np.isfinite(T_world_camera).all():
            return True
        metres, degrees = motion_between(key_pose, T_world_camera)
        return metres >= self.settings.keyframe_distance or degrees >= self.settings.keyframe_angle

    def stands_still(self, stamp: float, T_world_camera: Matrix, source: str = "") -> bool:
        """Whether the camera `source` has not moved enough, which is counted: this frame needs no depth."""
        if self.wants(T_world_camera, source):
            return False
        self._tracks[source].last = (stamp, T_world_camera)
        self.counts[STILL] += 1
        return True

    def add(self, frame: FusionFrame) -> Outcome:
        """Fuses a frame, or gives the reason why not; a frame that is left out does not change the map."""
        outcome = self._add(frame)
        self.counts[outcome.status] += 1
        return outcome

    def mesh(self) -> Mesh:
        """The surface of the map in the world. Raises DataError for an empty map."""
        return self.map.mesh(self.settings.min_weight)

    def cloud(self) -> Cloud:
        """Points of the surface in the world. Raises DataError for an empty map."""
        return self.map.cloud(self.settings.min_weight)

    def save(self, path: Path) -> None:
        """Writes the map (.npz). Raises DataError for an empty map, another suffix, a folder that refuses."""
        self.map.save(path)

    def load(self, path: Path) -> None:
        """Replaces the map by that of a file. Raises DataError, and then keeps the present map."""
        loaded = TsdfMap.load(path, self.settings.max_blocks, self.settings.device)
        if not np.isclose(loaded.voxel_size, self.settings.voxel_size):
            raise DataError(
                f"map {path} has voxels of {loaded.voxel_size:g} m: set fusion.voxel_size to that, it is "
                f"{self.settings.voxel_size:g}"
            )
        self.reset()
        self.map, self._metric = loaded, True

    def report(self) -> str:
        """One line: frames by outcome, size of the map."""
        left_out = [f"{count} {status}" for status, count in sorted(self.counts.items()) if status != FUSED]
        gone = f", {self.map.evicted} blocks left for newer ones" if self.map.evicted else ""
        if self.provisional:
            gone += f"; {self.provisional} more were dropped, fused before triangulation fixed the scale of the map"
        return (
            f"{self.counts[FUSED]} of {sum(self.counts.values())} frames fused"
            f"{' (' + ', '.join(left_out) + ')' if left_out else ''}, {self.map.blocks} blocks{gone}"
        )

    def _add(self, frame: FusionFrame) -> Outcome:
        if frame.T_world_camera is None:
            return Outcome(NO_POSE, f"no pose is known at {frame.stamp:.3f} s")
        try:
            pose = checked_pose(frame.T_world_camera)
        except DataError as error:
            return Outcome(BAD_POSE, str(error))
        if float(np.abs(pose[:3, 3]).max()) + self.settings.depth_max > self.map.reach_m:
            return Outcome(BAD_POSE, self._far(pose))
        if jump := self._jump(frame, pose):
            return Outcome(JUMP, jump)
        if not self.wants(pose, frame.source):
            return Outcome(STILL)
        usable = np.isfinite(frame.depth) & (frame.depth <= self.settings.depth_max)
        if not usable.any():
            return Outcome(NO_DEPTH, f"no pixel has depth up to fusion.depth_max ({self.settings.depth_max:g} m)")
        return self._fitted(_reduced(frame, self.settings), pose)

    def _fitted(self, frame: FusionFrame, pose: Matrix) -> Outcome:
        """Deforms and aligns a frame with valid pose and depth, and integrates it if it fits."""
        triangulator = self._tracks[frame.source].triangulator
        view = triangulator.triangulate(frame.rgb, frame.depth, frame.camera, pose) if self.settings.parallax else None
        known = None if view is None else deformed_to_points(frame.depth, frame.rgb, triangulator.known_points(view))
        if known is not None:
            frame = replace(frame, depth=known[0])
        fit, own = None, 0 if view is None else len(view.points.inverse)
        if known is None or own < MIN_POINTS:  # nothing in the frame itself confirms its pose
            fit = self._fit(frame, pose)
            if fault := self._fault(fit):
                return fault
        elif not self._metric:
            self.map.reset()
            self._metric, self.provisional = True, self.counts[FUSED]
        outcome = self._integrate(frame, pose, fit, None if known is None else known[1])
        if view is not None and outcome.status == FUSED:
            triangulator.keep(view)
        return outcome

    def _far(self, pose: Matrix) -> str:
        return (
            f"a pose must be within {self.map.reach_m:.3g} m of the world's origin, beyond which float32 is too coarse "
            f"for voxels of {self.settings.voxel_size:g} m, got {np.abs(pose[:3, 3]).max():.3g} m: give poses in a "
            "local frame (map, odom), not those of a map projection"
        )

    def _jump(self, frame: FusionFrame, pose: Matrix) -> str:
        """What is impossible about the motion since the last frame; empty where it is plausible."""
        track, stamp = self._tracks[frame.source], frame.stamp
        last, track.last = track.last, (stamp, pose)  # after a jump the next frame is judged from here
        if last is None or not stamp > last[0]:  # time went back: another run of a bag, nothing to judge by
            return ""
        seconds = stamp - last[0]
        metres, degrees = motion_between(last[1], pose)
        if metres > self.settings.max_speed * seconds + _JITTER_M:
            return f"{metres:.2f} m in {seconds:.2f} s, over fusion.max_speed ({self.settings.max_speed:g} m/s)"
        if degrees > max(_TURN_DEG_S * seconds, self.settings.keyframe_angle):
            return f"a turn of {degrees:.0f} degrees in {seconds:.2f} s"
        return ""

    def _fit(self, frame: FusionFrame, pose: Matrix) -> Fit | None:
        """The fit of the frame to the depth rendered from the map, None where they hardly overlap."""
        width = min(_RENDERED_WIDTH, frame.camera.width)
        small = frame.camera.resized(width, max(1, round(frame.camera.height * width / frame.camera.width)))
        rendered = self.map.render(small, pose, self.settings.depth_max, self.settings.min_weight)
        fit = fit_to_map(np.where(frame.depth > 0, frame.depth, np.float32(np.nan)), rendered)
        return fit if fit is not None and fit.overlap >= _MIN_OVERLAP else None

    def _fault(self, fit: Fit | None) -> Outcome | None:
        if fit is None:
            return None
        if fit.agreement < _MIN_AGREEMENT:
            return Outcome(
                MISFIT,
                f"{100 * fit.agreement:.0f} % of what it shares with the map agrees with it: the "
                "pose or the depth is wrong",
                fit=fit,
            )
        if fit.change > self.settings.max_scale_change:
            return Outcome(
                SCALE_JUMP,
                f"its depth differs from the map's by {100 * fit.change:.0f} %, over "
                f"fusion.max_scale_change ({100 * self.settings.max_scale_change:.0f} %)",
                fit=fit,
            )
        return None

    def _integrate(
        self,
        frame: FusionFrame,
        pose: Matrix,
        fit: Fit | None,
        support: NDArray[np.float32] | None,
    ) -> Outcome:
        settings, depth = self.settings, frame.depth
        if fit is not None and (share := 1.0 if self._metric else settings.align) > 0:
            depth = corrected(depth, fit.scale, share)
        weight = pixel_weights(depth, frame.camera, frame.sigma, settings.truncation * settings.voxel_size)
        if support is not None:
            weight *= support / (support + np.float32(_HALF_SUPPORT))
        blocks = self.map.integrate(depth, frame.rgb, frame.camera, pose, weight, settings.depth_max)
        if not blocks:
            return Outcome(NO_DEPTH, "all of its depth lies on depth edges or is seen along its surface", fit=fit)
        self._tracks[frame.source].key_pose = pose
        return Outcome(FUSED, blocks=blocks, fit=fit)


def _reduced(frame: FusionFrame, settings: FusionConfig) -> FusionFrame:
    """The frame at half, a third ... of its size, while a pixel at `fusion.depth_max` is no wider than a voxel."""
    camera = frame.camera
    parts = int(min(camera.fx * settings.voxel_size / settings.depth_max, camera.width / _FUSED_WIDTH))
    if parts < 2:
        return frame
    import cv2

    small = camera.resized(camera.width // parts, camera.height // parts)
    shape = small.height, small.width
    sigma = None if frame.sigma is None else on_grid(frame.sigma, shape)
    return replace(
        frame,
        rgb=cv2.resize(frame.rgb, small.size, interpolation=cv2.INTER_AREA),
        camera=small,
        depth=on_grid(frame.depth, shape),
        sigma=sigma,
    )
