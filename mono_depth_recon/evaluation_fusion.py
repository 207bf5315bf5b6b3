"""A whole recording fused into one mesh, and compared with the mesh of its true depth and with single frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from .arrays import Depth, Matrix
from .config import Config
from .errors import DataError
from .filters import limit_range
from .frames import Frame, Sample
from .fusion import FUSED, Fusion, FusionFrame, Outcome
from .fusion_poses import Odometry
from .mesh import Mesh, cloud_from_organised, mesh_grid
from .mesh_finish import drop_specks, finish_mesh
from .metrics_3d import Surface, SurfaceMetrics, surface_metrics
from .pipeline import DepthReconstructor, Wanted
from .pointcloud import back_project

POSES = ("data", "odometry")
_SPECK_TRIANGLES = 60
_SINGLES = 8  # frames at most whose own meshes are compared

# The frame of a rectified sample: with the depth that is fused, on the grid of its camera.
FrameOf: TypeAlias = Callable[[Sample], Frame]
Progress: TypeAlias = Callable[[int, int, str], None]  # frames done, of all, what became of the last


@dataclass
class FusedScene:
    """The map of a recording with what is known of the way to it.

    `truth` is the map of the true depth along the same poses, where asked for; `poses` those of the fused frames;
    `singles` metrics of the meshes of single frames against the true depth of the same view.
    """

    fusion: Fusion
    truth: Fusion | None = None
    poses: list[Matrix] = field(default_factory=list)
    singles: list[SurfaceMetrics] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def mesh(self, config: Config) -> Mesh:
        """The mesh in the world, without specks, finished by the parameters of meshes."""
        return finish_mesh(drop_specks(self.fusion.mesh(), _SPECK_TRIANGLES), config.mesh)


def predicted(reconstructor: DepthReconstructor) -> FrameOf:
    """Depth by the model. A relative model without metres is a DataError that names the ways to them."""
    def frame_of(sample: Sample) -> Frame:
        wanted = Wanted(points=False)
        frame = reconstructor.process(sample.rgb, sample.camera, wanted, reference=lambda: _depth_of(sample))
        if frame.depth is None:
            raise DataError(frame.no_metres)
        return frame

    return frame_of


def measured(config: Config) -> FrameOf:
    """The recording's own depth, within the range of the filters."""
    def frame_of(sample: Sample) -> Frame:
        depth = _depth_of(sample).copy()
        limit_range(depth, config.filter.min_range, config.filter.max_range)
        return Frame(sample.rgb, sample.camera, depth)

    return frame_of


def fuse_sequence(samples: Sequence[Sample], frame_of: FrameOf, config: Config, poses: str = "data",
                  with_truth: bool = False, progress: Progress = lambda done, of, status: None) -> FusedScene:
    """Fuses rectified samples one after another; frames that are left out are counted in `fusion.counts`.

    `poses` data takes the recording's, odometry follows the frames' own depth. A sample that cannot be read is noted
    and left out. Raises DataError where `frame_of` has no depth at all.
    """
    scene = FusedScene(Fusion(config.fusion), _truth_map(config) if with_truth else None)
    odometry = Odometry() if poses == "odometry" else None
    every = max(1, len(samples) // _SINGLES)
    for number in range(len(samples)):
        try:
            sample = samples[number]
        except DataError as error:
            scene.notes.append(str(error))
            progress(number + 1, len(samples), "unreadable")
            continue
        outcome = _fuse(scene, sample, frame_of, odometry)
        if outcome is not None and outcome.rejected:
            scene.notes.append(f"{sample.name}: {outcome.status}: {outcome.reason}")
        progress(number + 1, len(samples), "no motion" if outcome is None else outcome.status)
        if with_truth and number % every == 0 and sample.depth is not None:
            scene.singles.append(single_frame_metrics(frame_of(sample), sample, config))
    return scene


def _fuse(scene: FusedScene, sample: Sample, frame_of: FrameOf, odometry: Odometry | None) -> Outcome | None:
    """What became of a sample; None where the camera stood still and nothing was computed."""
    pose, frame = sample.T_world_camera, None
    if odometry is not None:
        frame = frame_of(sample)
        assert frame.depth is not None, "frame_of gives depth"
        pose = odometry.track(frame.rgb, frame.depth, frame.camera)
    if pose is None:
        return scene.fusion.add(FusionFrame(sample.rgb, _unknown(sample), sample.camera, sample.stamp, None))
    if scene.fusion.stands_still(sample.stamp, pose):
        return None
    frame = frame or frame_of(sample)
    assert frame.depth is not None, "frame_of gives depth"
    outcome = scene.fusion.add(FusionFrame(frame.rgb, frame.depth, frame.camera, sample.stamp, pose, frame.sigma))
    if outcome.status == FUSED:
        scene.poses.append(pose)
    if scene.truth is not None and sample.depth is not None:
        scene.truth.add(FusionFrame(sample.rgb, sample.depth, sample.camera, sample.stamp, pose))
    return outcome


def compare(scene: FusedScene, mesh: Mesh, config: Config, threshold: float = 0.05) -> SurfaceMetrics:
    """`mesh` against the mesh of the true depth. Raises DataError where the recording has none."""
    if scene.truth is None:
        raise DataError("expected a scene that was fused with its truth")
    truth = drop_specks(scene.truth.mesh(), _SPECK_TRIANGLES)
    return surface_metrics(_surface(mesh), _surface(truth), threshold)


def single_frame_metrics(frame: Frame, sample: Sample, config: Config, threshold: float = 0.05) -> SurfaceMetrics:
    """The grid mesh of one frame against the points of the true depth of its own view, up to `fusion.depth_max`."""
    depth, truth, far = frame.depth, _depth_of(sample), np.float32(config.fusion.depth_max)
    assert depth is not None, "frame_of gives depth"
    points = back_project(np.where(depth <= far, depth, np.float32(np.nan)), frame.camera, frame.rgb)
    true_points = back_project(np.where(truth <= far, truth, np.float32(np.nan)), sample.camera, sample.rgb)
    seen = cloud_from_organised(true_points).points
    return surface_metrics(_surface(mesh_grid(points, config.mesh.edge_ratio)),
                           Surface(seen, np.empty((0, 3), np.int32)), threshold)


def _truth_map(config: Config) -> Fusion:
    """True depth needs no alignment, and none of its frames is left out for what the model's did."""
    return Fusion(replace(config.fusion, align=0.0))


def _surface(mesh: Mesh) -> Surface:
    return Surface(mesh.vertices, mesh.triangles)


def _depth_of(sample: Sample) -> Depth:
    if sample.depth is None:
        raise DataError(f"{sample.name}: expected a recording with depth, this frame has none")
    return sample.depth


def _unknown(sample: Sample) -> Depth:
    return np.full(sample.rgb.shape[:2], np.nan, np.float32)
