"""A fused recording compared with the mesh of its true depth and with single frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Depth, Matrix, Points
from ..camera import PinholeCamera
from ..cloud.cloud import cloud_from_organised
from ..cloud.ray_casting import ray_scene
from ..config import Config
from ..errors import DataError
from ..frames import Sample
from ..mesh.grid import mesh_grid
from ..mesh.mesh import Mesh
from ..metrics.surface import Surface, SurfaceMetrics, surface_metrics
from ..sequence import FrameOf, FusedScene, depth_of, points_of

_VIEWS = 8  # frames at most whose views are compared


def compare(scene: FusedScene, mesh: Mesh, threshold: float = 0.05) -> SurfaceMetrics:
    """`mesh` against the mesh of the true depth. Raises DataError if the recording has none."""
    return surface_metrics(_surface(mesh), _surface(scene.true_mesh()), threshold)


@dataclass(frozen=True)
class ViewMetrics:
    """Mean metrics over `count` views: of the `single` frame's own mesh, and of the `fused` one from there."""

    single: SurfaceMetrics
    fused: SurfaceMetrics
    count: int

    def text(self) -> str:
        """Three lines for the screen."""
        chamfer, accuracy = (
            getattr(self.single, name) / max(getattr(self.fused, name), 1e-9) for name in ("chamfer", "accuracy")
        )
        return (
            f"in {self.count} views, against the true depth of each:\n"
            f"  mesh of one frame: {self.single.text()}\n  fused mesh:        {self.fused.text()}\n"
            f"  fusion is {chamfer:.1f} times closer to the truth by Chamfer distance, {accuracy:.1f} by accuracy"
        )


def compare_views(
    scene: FusedScene, mesh: Mesh, samples: Sequence[Sample], frame_of: FrameOf, config: Config, threshold: float = 0.05
) -> ViewMetrics:
    """Scores one frame's own depth, and the fused `mesh` (world) seen from the same camera, in up to 8 views.

    Both are depth images of the same camera, meshed by `mesh_grid`, against the points of the true depth of the view up
    to `fusion.depth_max`. The views are fused frames, spread over the recording. DataError if no view has both.
    """
    cast, single, fused = depth_caster(mesh), [], []
    for place in np.unique(np.linspace(0, len(scene.places) - 1, _VIEWS).round().astype(int)) if scene.places else ():
        sample = samples[scene.places[place]]
        frame, truth = frame_of(sample), points_of(depth_of(sample), sample.camera, sample.rgb, config)
        assert frame.depth is not None, "frame_of gives depth"
        depths = frame.depth, cast(frame.camera, scene.poses[place])
        own, seen = (points_of(depth, frame.camera, frame.rgb, config) for depth in depths)
        if all(np.isfinite(points).any() for points in (truth[..., 2], own[..., 2], seen[..., 2])):
            single.append(_view_metrics(own, truth, config, threshold))
            fused.append(_view_metrics(seen, truth, config, threshold))
    if not single:
        raise DataError("no view has depth in the frame, the map and the truth: see fusion.depth_max")
    return ViewMetrics(_mean(single), _mean(fused), len(single))


def depth_caster(mesh: Mesh) -> Callable[[PinholeCamera, Matrix], Depth]:
    """A function that renders the depth (H, W) of `mesh` for a rectified camera at T_world_camera, NaN for none."""
    import open3d as o3d

    scene = ray_scene(mesh.vertices, mesh.triangles)

    def cast(camera: PinholeCamera, T_world_camera: Matrix) -> Depth:
        x, y = camera.rays
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
        directions = (rays @ T_world_camera[:3, :3].T).astype(np.float32)
        eyes = np.broadcast_to(T_world_camera[:3, 3].astype(np.float32), directions.shape)
        answer = scene.cast_rays(o3d.core.Tensor.from_numpy(np.concatenate([eyes, directions], axis=-1)))
        depth: Depth = answer["t_hit"].numpy()  # rays have z = 1 in the camera: t is depth
        depth[~np.isfinite(depth)] = np.nan
        return depth

    return cast


def _view_metrics(points: Points, truth: Points, config: Config, threshold: float) -> SurfaceMetrics:
    seen = Surface(cloud_from_organised(truth).points, np.empty((0, 3), np.int32))
    return surface_metrics(_surface(mesh_grid(points, config.mesh.edge_ratio)), seen, threshold)


def _mean(metrics: Sequence[SurfaceMetrics]) -> SurfaceMetrics:
    return SurfaceMetrics(*np.mean([list(vars(each).values()) for each in metrics], axis=0).tolist())


def _surface(mesh: Mesh) -> Surface:
    return Surface(mesh.vertices, mesh.triangles)
