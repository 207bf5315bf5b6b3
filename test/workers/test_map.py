"""The process that holds the map: the same map as here, its files, what it shows, and its death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import DEADLINE_S

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FusionConfig, MeshConfig
from mono_depth_recon.errors import DataError, MonoDepthError
from mono_depth_recon.fusion.fusion import FUSED, NO_POSE, STILL, Fusion, FusionFrame
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.mesh.quality import mesh_quality
from mono_depth_recon.workers.map import (
    FuseJob,
    LoadMapJob,
    MapCloudJob,
    MapMeshJob,
    MapState,
    MapWorker,
    ResetJob,
    SaveMapJob,
    ShownMeshJob,
    ShownPointsJob,
    StillJob,
    thinned_mesh,
)

CAMERA = PinholeCamera.from_hfov(96, 72, 60.0)
SETTINGS = FusionConfig(voxel_size=0.04, align=0.0, parallax=False, device="cpu")
RGB = np.random.default_rng(1).integers(0, 255, (72, 96, 3), np.uint8)
STEPS = np.where(np.arange(96)[None, :] < 50, 2.013, 2.613).astype(np.float32) * np.ones((72, 1), np.float32)


def _at(x: float) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = x
    return T


@pytest.fixture(scope="module")
def running() -> Iterator[MapWorker]:
    with MapWorker() as worker:
        yield worker


@pytest.fixture
def worker(running: MapWorker) -> MapWorker:
    """A running worker with an empty map."""
    running.submit(ResetJob(SETTINGS)).result(DEADLINE_S)
    return running


def _fuse(worker: MapWorker, stamp: float, x: float | None, settings: FusionConfig = SETTINGS) -> MapState:
    job = FuseJob(settings, stamp, CAMERA, None if x is None else _at(x))
    state: MapState = worker.submit(job, RGB, STEPS).result(DEADLINE_S)
    return state


def test_the_map_over_there_is_the_map_here(worker: MapWorker, tmp_path: Path) -> None:
    here = Fusion(SETTINGS)
    for number, x in enumerate((0.0, 0.01, 0.1)):
        state = _fuse(worker, float(number), x)
        here.add(FusionFrame(RGB, STEPS, CAMERA, float(number), _at(x)))
    assert state.counts == {FUSED: 2, STILL: 1} and state.blocks == here.map.blocks and 50 < state.memory_mib < 2000
    cloud = worker.submit(ShownPointsJob(SETTINGS, 10**6)).result(DEADLINE_S)
    np.testing.assert_allclose(np.sort(cloud.points, axis=0), np.sort(here.cloud().points, axis=0), atol=1e-5)
    job = MapMeshJob(SETTINGS, tmp_path / "a.ply", MeshConfig(marker_triangles=200))
    result = worker.submit(job).result(DEADLINE_S)
    assert result.path.exists() and result.quality == mesh_quality(here.mesh()).text()
    assert result.preview is not None and 50 < len(result.preview.triangles) <= 200
    points = worker.submit(MapCloudJob(SETTINGS, tmp_path / "a.ply")).result(DEADLINE_S)
    assert points.path.name == "a_2.ply" and points.vertices == len(here.cloud())


def test_standing_still_is_asked_before_depth_is_made(worker: MapWorker) -> None:
    assert worker.submit(StillJob(SETTINGS, 0.0, _at(0.0))).result(DEADLINE_S) is None
    _fuse(worker, 0.0, 0.0)
    state = worker.submit(StillJob(SETTINGS, 0.1, _at(0.01))).result(DEADLINE_S)
    assert state.counts == {FUSED: 1, STILL: 1}
    assert worker.submit(StillJob(SETTINGS, 0.2, _at(0.3))).result(DEADLINE_S) is None


def test_without_poses_odometry_follows_the_depth_and_its_world_is_upright(worker: MapWorker) -> None:
    assert _fuse(worker, 0.0, None).status == FUSED
    cloud = worker.submit(ShownPointsJob(SETTINGS, 10**6)).result(DEADLINE_S)
    assert np.quantile(cloud.points[:, 0], [0.05, 0.95]) == pytest.approx([2.013, 2.613], abs=0.05), "x is forward"
    nothing = np.full((72, 96), np.nan, np.float32)
    state = worker.submit(FuseJob(SETTINGS, 0.1, CAMERA, None), RGB, nothing).result(DEADLINE_S)
    assert state.status == NO_POSE and "odometry lost track" in state.reason


def test_parameters_that_may_change_take_effect(worker: MapWorker) -> None:
    _fuse(worker, 0.0, 0.0)
    assert _fuse(worker, 1.0, 0.01).status == STILL
    moving = FusionConfig(voxel_size=0.04, align=0.0, parallax=False, device="cpu", keyframe_distance=0.005)
    assert _fuse(worker, 2.0, 0.02, moving).status == FUSED


def test_a_map_goes_to_a_file_and_back(worker: MapWorker, tmp_path: Path) -> None:
    saved = tmp_path / "map.npz"
    for job in (
        SaveMapJob(SETTINGS, saved),
        MapMeshJob(SETTINGS, tmp_path / "a.ply", MeshConfig()),
        MapCloudJob(SETTINGS, tmp_path / "a.ply"),
        ShownPointsJob(SETTINGS, 10),
    ):
        with pytest.raises(DataError, match="it is empty"):
            worker.submit(job).result(DEADLINE_S)
    assert not list(tmp_path.iterdir()), "nothing half written"
    blocks = _fuse(worker, 0.0, 0.0).blocks
    worker.submit(SaveMapJob(SETTINGS, saved)).result(DEADLINE_S)
    assert worker.submit(ResetJob(SETTINGS)).result(DEADLINE_S).blocks == 0
    assert worker.submit(LoadMapJob(SETTINGS, saved)).result(DEADLINE_S).blocks == blocks
    with pytest.raises(DataError, match="cannot be read"):
        worker.submit(LoadMapJob(SETTINGS, tmp_path / "none.npz")).result(DEADLINE_S)
    damaged = bytearray(saved.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    saved.write_bytes(damaged)
    with pytest.raises(DataError, match="got another or a damaged one"):
        worker.submit(LoadMapJob(SETTINGS, saved)).result(DEADLINE_S)
    assert worker.submit(ShownPointsJob(SETTINGS, 50)).result(DEADLINE_S) is not None, "the map is still there"


def test_what_is_shown_is_small(worker: MapWorker) -> None:
    _fuse(worker, 0.0, 0.0)
    assert 50 < len(worker.submit(ShownPointsJob(SETTINGS, 200)).result(DEADLINE_S)) <= 200
    assert 50 < len(worker.submit(ShownMeshJob(SETTINGS, 200)).result(DEADLINE_S).triangles) <= 200


def test_thinning_keeps_a_plane_a_plane_and_its_normals() -> None:
    x, y = np.meshgrid(np.arange(40), np.arange(30))
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(np.float32) * np.float32(0.02)
    place = np.arange(1200).reshape(30, 40)
    a, b, c, d = (each.ravel() for each in (place[:-1, :-1], place[:-1, 1:], place[1:, :-1], place[1:, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)]).astype(np.int32)
    colors = np.full((1200, 3), 77, np.uint8)
    thin = thinned_mesh(Mesh(vertices, triangles, colors), 300, 0.02)
    assert 50 < len(thin.triangles) <= 300
    assert not thin.vertices[:, 2].any() and (thin.colors == 77).all()
    corners = thin.vertices[thin.triangles]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()
    assert np.ptp(thin.vertices[:, 0]) > 0.65


def test_a_bug_in_a_job_keeps_the_map_and_a_worker_that_dies_loses_it_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with MapWorker() as worker:
        _fuse(worker, 0.0, 0.0)
        before = worker.submit(ShownPointsJob(SETTINGS, 10**6)).result(DEADLINE_S)
        job = FuseJob(SETTINGS, 1.0, CAMERA, _at(0.1))
        with pytest.raises(MonoDepthError, match=r"^unexpected \w+: .*; this is a bug, .* the FuseJob was left out"):
            worker.submit(job, RGB, np.ones((3, 3, 3), np.float32)).result(DEADLINE_S)
        printed = capfd.readouterr().err
        assert "Traceback" in printed and "in run" in printed, printed
        after = worker.submit(ShownPointsJob(SETTINGS, 10**6)).result(DEADLINE_S)
        np.testing.assert_array_equal(*(np.sort(each.points, axis=0) for each in (after, before)))
        assert worker.deaths == 0
        pid = worker.start().result(DEADLINE_S)
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + DEADLINE_S
        while os.path.exists(f"/proc/{pid}"):
            assert time.monotonic() < end, "the ended process stays as a zombie until the next job"
            time.sleep(0.01)
        said = r"map worker ended \(SIGKILL\): the map is lost, a new one begins; load_map brings back"
        with pytest.raises(MonoDepthError, match=said):
            _fuse(worker, 0.1, 0.1)
        assert worker.deaths == 1
        with pytest.raises(DataError, match="it is empty"):
            worker.submit(MapMeshJob(SETTINGS, tmp_path / "a.ply", MeshConfig())).result(DEADLINE_S)
        assert _fuse(worker, 0.2, 0.2).counts == {FUSED: 1}
    with pytest.raises(MonoDepthError, match="stopping"):
        worker.submit(ResetJob(SETTINGS))
