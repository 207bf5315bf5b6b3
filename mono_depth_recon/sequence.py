"""One recording into one map: its frames fused one after another along their poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from .arrays import Depth, Matrix, Points, Rgb
from .camera import PinholeCamera
from .cloud.back_projection import back_project
from .config import Config
from .errors import DataError
from .filters import drop, limit_range
from .frames import Frame, Sample
from .fusion.fusion import FUSED, Fusion, FusionFrame, Outcome
from .fusion.odometry import Odometry
from .mesh.components import drop_specks
from .mesh.finish import finish_mesh
from .mesh.grid import mesh_grid
from .mesh.mesh import Mesh
from .pipeline import DepthReconstructor, Wanted
from .scale.evidence import Evidence, Kind
from .scale.odometry import CAMERA_POSE
from .scale.reference import REFERENCE_DEPTH

POSES = ("data", "odometry")


_SPECK_TRIANGLES = 60


# The frame of a rectified sample: with the depth that is fused, on the grid of its camera.
FrameOf: TypeAlias = Callable[[Sample], Frame]


Progress: TypeAlias = Callable[[int, int, str], None]  # frames done, of how many, outcome of the last


@dataclass
class FusedScene:
    """The map of a recording and how it was made.

    `truth` is the map of the true depth along the same poses, where requested; `places` are the indices of the samples
    that were fused, `poses` theirs. `unreliable` counts the frames that the guard found unreliable.
    """

    fusion: Fusion
    truth: Fusion | None = None
    places: list[int] = field(default_factory=list)
    poses: list[Matrix] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unreliable: int = 0

    def mesh(self, config: Config) -> Mesh:
        """The mesh in the world, without specks, finished by the parameters of meshes."""
        return finish_mesh(drop_specks(self.fusion.mesh(), _SPECK_TRIANGLES), config.mesh)

    def true_mesh(self) -> Mesh:
        """The mesh of the true depth, without specks. Raises DataError where the recording has none."""
        if self.truth is None:
            raise DataError("expected a scene that was fused together with its ground truth")
        return drop_specks(self.truth.mesh(), _SPECK_TRIANGLES)


def predicted(reconstructor: DepthReconstructor, raw: PinholeCamera | None) -> FrameOf:
    """Depth by the model, none where the `raw` camera of the recording, before rectification, saw nothing.

    None stands for frames that were rectified before they were published.
    A frame that the guard withholds has no depth anywhere. A relative model without metres is a DataError that names
    the ways to obtain them.
    """
    covered = None if raw is None or raw.is_rectified else raw.rectified_valid

    def frame_of(sample: Sample) -> Frame:
        wanted = Wanted(points=False)
        frame = reconstructor.process(
            sample.rgb, sample.camera, wanted, evidence=evidence_of(sample), stamp=sample.stamp
        )
        if frame.judgement is not None and frame.judgement.withheld:
            frame = replace(frame, depth=_unknown(sample))
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
        depth = depth_of(sample).copy()
        limit_range(depth, config.filter.min_range, config.filter.max_range)
        return Frame(sample.rgb, sample.camera, depth)

    return frame_of


def fuse_sequence(
    samples: Sequence[Sample],
    frame_of: FrameOf,
    config: Config,
    poses: str = "data",
    with_truth: bool = False,
    progress: Progress = lambda done, of, status: None,
) -> FusedScene:
    """Fuses rectified samples one after another; skipped frames are counted in `fusion.counts`.

    `poses` data takes the recording's, odometry follows the frames' own depth. A sample that cannot be read is noted
    and skipped. Raises DataError where `frame_of` has no depth at all.
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
    """The outcome of a sample; None where the camera stood still and nothing was computed."""
    pose, frame = sample.T_world_camera, None
    if odometry is not None:
        frame = frame_of(sample)
        assert frame.depth is not None, "frame_of gives depth"
        known = bool(np.isfinite(frame.depth).any())
        pose = odometry.track(frame.rgb, frame.depth, frame.camera) if known else None
    if pose is None:
        return scene.fusion.add(FusionFrame(sample.rgb, _unknown(sample), sample.camera, sample.stamp, None))
    if scene.fusion.stands_still(sample.stamp, pose):
        return None
    frame = frame or frame_of(sample)
    assert frame.depth is not None, "frame_of gives depth"
    scene.unreliable += frame.judgement is not None and frame.judgement.level == "ERROR"
    outcome = scene.fusion.add(FusionFrame(frame.rgb, frame.depth, frame.camera, sample.stamp, pose, frame.sigma))
    if outcome.status == FUSED:
        scene.poses.append(pose)
    if scene.truth is not None and sample.depth is not None:
        scene.truth.add(FusionFrame(sample.rgb, sample.depth, sample.camera, sample.stamp, pose))
    return outcome


def frame_mesh(frame: Frame, T_world_camera: Matrix, config: Config) -> Mesh:
    """The grid mesh of one frame up to `fusion.depth_max`, moved into the world."""
    assert frame.depth is not None, "frames for meshes have depth"
    mesh = mesh_grid(points_of(frame.depth, frame.camera, frame.rgb, config), config.mesh.edge_ratio)
    vertices = mesh.vertices @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return Mesh(vertices.astype(np.float32), mesh.triangles, mesh.colors)


def points_of(depth: Depth, camera: PinholeCamera, rgb: Rgb, config: Config) -> Points:
    """The organised cloud (H, W, 4) of depth up to `fusion.depth_max`."""
    return back_project(np.where(depth <= np.float32(config.fusion.depth_max), depth, np.float32(np.nan)), camera, rgb)


def _truth_map(config: Config) -> Fusion:
    return Fusion(for_measured_depth(config).fusion)


def for_measured_depth(config: Config) -> Config:
    """Measured depth is metric: it is neither corrected by parallax nor aligned."""
    return replace(config, fusion=replace(config.fusion, align=0.0, parallax=False))


def depth_of(sample: Sample) -> Depth:
    """The depth of a sample. Raises DataError where it has none."""
    if sample.depth is None:
        raise DataError(f"{sample.name}: expected a recording with depth, this frame has none")
    return sample.depth


def pose_of(sample: Sample) -> Matrix:
    """The camera's pose of a sample. Raises DataError where it has none."""
    if sample.T_world_camera is None:
        raise DataError(f"{sample.name}: expected a recording with poses, this frame has none")
    return sample.T_world_camera


# What a recording may hold beside an image, by kind; each raises DataError for a sample without it.
RECORDED: dict[Kind[Any], Callable[[Sample], Any]] = {REFERENCE_DEPTH: depth_of, CAMERA_POSE: pose_of}


def evidence_of(sample: Sample) -> Evidence:
    """What the recording holds beside the image of `sample`."""
    return Evidence({kind: partial(obtain, sample) for kind, obtain in RECORDED.items()})


def _unknown(sample: Sample) -> Depth:
    return np.full(sample.rgb.shape[:2], np.nan, np.float32)
