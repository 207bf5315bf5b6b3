"""A whole recording fused into one mesh, and compared with the mesh of its true depth and with single frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from ..arrays import Depth, Matrix, Points, Rgb
from ..camera import PinholeCamera
from ..cloud.back_projection import back_project
from ..config import Config
from ..errors import DataError
from ..filters import drop, limit_range
from ..frames import Frame, Sample
from ..fusion.fusion import FUSED, Fusion, FusionFrame, Outcome
from ..fusion.poses import Odometry
from ..mesh.finish import finish_mesh
from ..mesh.surface import Mesh, cloud_from_organised, drop_specks, mesh_grid
from ..metrics.surface import Surface, SurfaceMetrics, surface_metrics
from ..pipeline import DepthReconstructor, Wanted

POSES = ("data", "odometry")
_SPECK_TRIANGLES = 60
_VIEWS = 8  # frames at most whose views are compared

# The frame of a rectified sample: with the depth that is fused, on the grid of its camera.
FrameOf: TypeAlias = Callable[[Sample], Frame]
Progress: TypeAlias = Callable[[int, int, str], None]  # frames done, of all, what became of the last


@dataclass
class FusedScene:
    """The map of a recording with what is known of the way to it.

    `truth` is the map of the true depth along the same poses, where asked for; `places` of the samples that were fused
    in their sequence, and their `poses`.
    """

    fusion: Fusion
    truth: Fusion | None = None
    places: list[int] = field(default_factory=list)
    poses: list[Matrix] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def mesh(self, config: Config) -> Mesh:
        """The mesh in the world, without specks, finished by the parameters of meshes."""
        return finish_mesh(drop_specks(self.fusion.mesh(), _SPECK_TRIANGLES), config.mesh)

    def true_mesh(self) -> Mesh:
        """The mesh of the true depth, without specks. Raises DataError where the recording has none."""
        if self.truth is None:
            raise DataError("expected a scene that was fused with its truth")
        return drop_specks(self.truth.mesh(), _SPECK_TRIANGLES)


def predicted(reconstructor: DepthReconstructor, raw: PinholeCamera) -> FrameOf:
    """Depth by the model, none where the `raw` camera of the recording, before rectification, has seen nothing.

    A relative model without metres is a DataError that names the ways to them.
    """
    covered = None if raw.is_rectified else raw.rectified_valid

    def frame_of(sample: Sample) -> Frame:
        wanted = Wanted(points=False)
        frame = reconstructor.process(sample.rgb, sample.camera, wanted, reference=lambda: _depth_of(sample))
        if frame.depth is None:
            raise DataError(frame.no_metres)
        for known in (frame.depth, frame.sigma):
            if covered is not None and known is not None:
                drop(known, ~covered)
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
        if outcome is not None and outcome.status == FUSED:
            scene.places.append(number)
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


def compare(scene: FusedScene, mesh: Mesh, threshold: float = 0.05) -> SurfaceMetrics:
    """`mesh` against the mesh of the true depth. Raises DataError where the recording has none."""
    return surface_metrics(_surface(mesh), _surface(scene.true_mesh()), threshold)


@dataclass(frozen=True)
class ViewMetrics:
    """Mean metrics over `count` views: of the `single` frame's own mesh, and of the `fused` one seen from there."""

    single: SurfaceMetrics
    fused: SurfaceMetrics
    count: int

    def text(self) -> str:
        """Three lines for people."""
        chamfer, accuracy = (getattr(self.single, name) / max(getattr(self.fused, name), 1e-9)
                             for name in ("chamfer", "accuracy"))
        return (f"in {self.count} views, against the true depth of each:\n"
                f"  mesh of the frame alone: {self.single.text()}\n  fused mesh from there:   {self.fused.text()}\n"
                f"  fused is {chamfer:.1f} times as near to the truth by Chamfer distance, {accuracy:.1f} by accuracy")


def compare_views(scene: FusedScene, mesh: Mesh, samples: Sequence[Sample], frame_of: FrameOf, config: Config,
                  threshold: float = 0.05) -> ViewMetrics:
    """What one frame's own depth says about its view, and what the fused `mesh` (world) says about the same view.

    Both are depth images of the same camera, meshed by `mesh_grid`, against the points of the true depth of the view up
    to `fusion.depth_max`. Up to 8 fused frames, spread over the recording. Raises DataError where no view has both.
    """
    cast, single, fused = depth_caster(mesh), [], []
    for place in np.unique(np.linspace(0, len(scene.places) - 1, _VIEWS).round().astype(int)) if scene.places else ():
        sample = samples[scene.places[place]]
        frame, truth = frame_of(sample), _points(_depth_of(sample), sample.camera, sample.rgb, config)
        assert frame.depth is not None, "frame_of gives depth"
        depths = frame.depth, cast(frame.camera, scene.poses[place])
        own, seen = (_points(depth, frame.camera, frame.rgb, config) for depth in depths)
        if all(np.isfinite(points).any() for points in (truth[..., 2], own[..., 2], seen[..., 2])):
            single.append(_view_metrics(own, truth, config, threshold))
            fused.append(_view_metrics(seen, truth, config, threshold))
    if not single:
        raise DataError("expected a view that frame, map and truth have depth of, there is none: see fusion.depth_max")
    return ViewMetrics(_mean(single), _mean(fused), len(single))


def depth_caster(mesh: Mesh) -> Callable[[PinholeCamera, Matrix], Depth]:
    """A function that answers the depth (H, W) of `mesh` for a rectified camera at T_world_camera, NaN for none."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.vertices)),
                        o3d.core.Tensor.from_numpy(mesh.triangles.astype(np.uint32)))

    def cast(camera: PinholeCamera, T_world_camera: Matrix) -> Depth:
        x, y = camera.rays
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
        ways = (rays @ T_world_camera[:3, :3].T).astype(np.float32)
        eyes = np.broadcast_to(T_world_camera[:3, 3].astype(np.float32), ways.shape)
        answer = scene.cast_rays(o3d.core.Tensor.from_numpy(np.concatenate([eyes, ways], axis=-1)))
        depth: Depth = answer["t_hit"].numpy()  # rays have z = 1 in the camera: t is depth
        depth[~np.isfinite(depth)] = np.nan
        return depth

    return cast


def frame_mesh(frame: Frame, T_world_camera: Matrix, config: Config) -> Mesh:
    """The grid mesh of one frame up to `fusion.depth_max`, moved into the world."""
    assert frame.depth is not None, "frames for meshes have depth"
    mesh = mesh_grid(_points(frame.depth, frame.camera, frame.rgb, config), config.mesh.edge_ratio)
    vertices = mesh.vertices @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return Mesh(vertices.astype(np.float32), mesh.triangles, mesh.colors)


def _view_metrics(points: Points, truth: Points, config: Config, threshold: float) -> SurfaceMetrics:
    seen = Surface(cloud_from_organised(truth).points, np.empty((0, 3), np.int32))
    return surface_metrics(_surface(mesh_grid(points, config.mesh.edge_ratio)), seen, threshold)


def _points(depth: Depth, camera: PinholeCamera, rgb: Rgb, config: Config) -> Points:
    return back_project(np.where(depth <= np.float32(config.fusion.depth_max), depth, np.float32(np.nan)), camera, rgb)


def _mean(metrics: Sequence[SurfaceMetrics]) -> SurfaceMetrics:
    return SurfaceMetrics(*np.mean([list(vars(each).values()) for each in metrics], axis=0).tolist())


def _truth_map(config: Config) -> Fusion:
    return Fusion(for_measured_depth(config).fusion)


def for_measured_depth(config: Config) -> Config:
    """Measured depth has its metres: it is neither bent nor aligned."""
    return replace(config, fusion=replace(config.fusion, align=0.0, parallax=False))


def _surface(mesh: Mesh) -> Surface:
    return Surface(mesh.vertices, mesh.triangles)


def _depth_of(sample: Sample) -> Depth:
    if sample.depth is None:
        raise DataError(f"{sample.name}: expected a recording with depth, this frame has none")
    return sample.depth


def _unknown(sample: Sample) -> Depth:
    return np.full(sample.rgb.shape[:2], np.nan, np.float32)
