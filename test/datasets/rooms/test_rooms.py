"""The synthetic rooms: the same bytes everywhere, exact depth, a path that a hand could take, soft shadows."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import open3d as o3d
import pytest
from processes import DEADLINE_S

import mono_depth_recon.datasets.rooms.room as rooms
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.rooms.light import AreaLight, bake
from mono_depth_recon.datasets.rooms.room import Room, RoomSequence
from mono_depth_recon.datasets.rooms.scene import Material, SceneBuilder, SceneMesh, join
from mono_depth_recon.errors import CalibrationError, ConfigError

SMALL = PinholeCamera.from_hfov(160, 120, 62.0)
SEED = 8
DIGEST = """
import hashlib, sys
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.rooms.room import RoomSequence
sample = RoomSequence(int(sys.argv[1]), PinholeCamera.from_hfov(160, 120, 62.0))[17]
print(hashlib.sha256(sample.rgb.tobytes() + sample.depth.tobytes() + sample.T_world_camera.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def sequence() -> RoomSequence:
    return RoomSequence(SEED, SMALL)


@lru_cache(maxsize=16)
def unlit(seed: int) -> RoomSequence:
    """A sequence without the light, which costs most of a room and moves nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "bake", lambda scene, mesh, *rest: np.ones((mesh.lightmap_height, 1024, 3), np.float32))
        return RoomSequence(seed, SMALL)


def frame(sequence: RoomSequence, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour and depth of frame i."""
    sample = sequence[i]
    assert sample.depth is not None
    return sample.rgb, sample.depth


def looking(eye: tuple[float, float, float], forward: tuple[float, float, float]) -> np.ndarray:
    z = np.array(forward) / np.linalg.norm(forward)
    x = np.cross(z, (0.0, 0.0, 1.0)) if abs(z[2]) < 0.99 else np.array([1.0, 0, 0])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.stack([x, np.cross(z, x), z], 1), eye
    return T


def back_project(camera: PinholeCamera, depth: np.ndarray, T: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.linalg.inv(camera.K) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    return (T[:3, :3] @ (rays * depth.ravel().astype(np.float64)) + T[:3, 3:]).T


def box_depth(camera: PinholeCamera, T: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    """Depth of the empty box 0..size from within, in float64."""
    way = back_project(camera, np.ones((camera.height, camera.width)), T) - T[:3, 3]
    with np.errstate(divide="ignore"):
        reach = np.where(way > 0, (np.array(size) - T[:3, 3]) / way, -T[:3, 3] / way)
    return reach.min(1).reshape(camera.height, camera.width)


@pytest.mark.slow
def test_a_frame_is_the_same_to_the_byte_on_repeated_calls_and_in_another_process(sequence: RoomSequence) -> None:
    rgb, depth = frame(sequence, 17)
    again = frame(sequence, 17)
    assert np.array_equal(rgb, again[0]) and np.array_equal(depth, again[1])
    here = hashlib.sha256(rgb.tobytes() + depth.tobytes() + sequence.pose(17).tobytes()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", DIGEST, str(SEED)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert there.stdout.strip() == here


def test_samples_are_complete(sequence: RoomSequence) -> None:
    sample = sequence[30]
    assert len(sequence) == 120 and sample.camera is SMALL
    assert sample.rgb.shape == (120, 160, 3) and sample.rgb.dtype == np.uint8
    assert sample.depth is not None and sample.depth.shape == (120, 160) and sample.depth.dtype == np.float32
    assert np.isfinite(sample.depth).all() and sample.depth.min() > 0.3
    assert sample.stamp == 2.0 and sample.name == f"room{SEED}/000030"
    assert sample.T_world_camera is not None and np.array_equal(sample.T_world_camera, sequence.pose(30))


def test_depth_agrees_with_open3d_pinhole_rays(sequence: RoomSequence) -> None:
    mesh = join(sequence.room.layout.builder.patches)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.triangles))
    K = SMALL.K.copy()
    K[:2, 2] += 0.5  # Open3D's pixel centres lie at halves
    T = sequence.pose(5)
    rays = scene.create_rays_pinhole(o3d.core.Tensor(K), o3d.core.Tensor(np.linalg.inv(T)), 160, 120)
    expected = scene.cast_rays(rays)["t_hit"].numpy()
    error = np.abs(frame(sequence, 5)[1] - expected)
    assert (error < 1e-4).mean() > 0.998  # a ray that grazes an edge may fall to either side
    assert np.median(error) < 1e-6


def test_depth_of_ceiling_and_walls_is_that_of_the_box(sequence: RoomSequence) -> None:
    room = sequence.room
    wide = PinholeCamera.from_hfov(160, 120, 95.0)
    T = looking((room.size[0] / 2, room.size[1] / 2, room.size[2] - 0.7), (0.3, 0.4, 0.6))
    _, depth = room.render(wide, T)
    box = box_depth(wide, T, room.size)
    assert (np.abs(depth - box) < 1e-4).mean() > 0.5  # the rest: lamps, furniture, recessed windows


def test_every_pixel_lies_on_a_surface(sequence: RoomSequence) -> None:
    for i in (0, 60):
        _, depth = frame(sequence, i)
        distance = np.abs(sequence.room.clearance(back_project(SMALL, depth, sequence.pose(i))))
        assert distance.max() < 1e-4


def test_a_wider_lens_sees_the_same_depth_in_the_middle(sequence: RoomSequence) -> None:
    wide = PinholeCamera.from_intrinsics(241, 181, SMALL.fx, SMALL.fy, SMALL.cx + 40, SMALL.cy + 30)
    _, depth = sequence.room.render(wide, sequence.pose(9))
    assert np.abs(depth[30:150, 40:200] - frame(sequence, 9)[1]).max() < 1e-5


def test_rays_that_leave_the_room_have_no_depth(sequence: RoomSequence) -> None:
    rgb, depth = sequence.room.render(SMALL, looking((1.0, 1.0, 50.0), (0, 0, 1)))
    assert np.isnan(depth).all() and rgb.mean() < 8


@pytest.mark.parametrize("seed", [1, 2, 3, 14, 20, 31])
def test_path_is_closed_smooth_and_held_like_a_hand_does(seed: int) -> None:
    sequence = unlit(seed)
    poses = np.stack([sequence.pose(i) for i in range(len(sequence) + 1)])
    assert np.allclose(poses[-1], poses[0], atol=1e-12)
    R, p = poses[:, :3, :3], poses[:, :3, 3]
    assert np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-12) and np.allclose(np.linalg.det(R), 1)
    step = np.linalg.norm(np.diff(p, axis=0), axis=1)
    turn = np.degrees(np.arccos(np.clip((np.einsum("nij,nij->n", R[1:], R[:-1]) - 1) / 2, -1, 1)))
    assert step.max() < 0.055 and turn.max() < 5.0
    assert np.abs(np.diff(np.r_[p[-2:-1], p], 2, axis=0)).max() < 0.015  # no kicks, at the seam either
    assert p[:, 2].min() >= 0.8 - 1e-9 and p[:, 2].max() <= 1.8 + 1e-9
    assert (R[:, 2, 1] < -0.5).all()  # image down is down


@pytest.mark.parametrize("seed", [1, 2, 3, 14, 20, 31])
def test_camera_keeps_clear_of_everything(seed: int) -> None:
    sequence = unlit(seed)
    eyes = np.stack([sequence.pose(i)[:3, 3] for i in range(len(sequence))])
    assert sequence.room.contains(eyes).all()
    assert sequence.room.clearance(eyes).min() > 0.4
    wide = PinholeCamera.from_hfov(48, 48, 90.0)  # six views are the whole sphere: nothing nearer, by another way
    way = np.sqrt(1 + wide.rays[0][None] ** 2 + wide.rays[1][:, None] ** 2)
    for forward in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
        _, depth = sequence.room.render(wide, looking(tuple(eyes[40]), forward))
        assert np.isfinite(depth).all() and (depth * way).min() > 0.4


def test_inside_of_furniture_is_not_free(sequence: RoomSequence) -> None:
    room = sequence.room
    inside = np.linalg.inv(room.layout.builder.solids[len(room.layout.builder.solids) // 2])[:3, 3]
    assert not room.contains(inside).any() and room.clearance(inside)[0] < 0
    assert not room.contains([-0.1, 1, 1]).any()


def test_seeds_give_different_rooms() -> None:
    sequences = [unlit(seed) for seed in (1, 2, 3, 14, 20, 31)]
    assert len({s.room.style for s in sequences}) >= 3
    assert len({s[0].rgb.tobytes() for s in sequences}) == 6
    areas = [s.room.size[0] * s.room.size[1] for s in sequences]
    assert min(areas) >= 9 and max(areas) <= 72 and np.ptp(areas) > 5
    depths = np.concatenate([frame(s, i)[1].ravel() for s in sequences for i in (0, 60)])
    assert np.quantile(depths, 0.02) > 0.45 and 1.0 < np.median(depths) < 4.0 and np.quantile(depths, 0.98) < 9.0


def test_pictures_have_colour_texture_and_contrast(sequence: RoomSequence) -> None:
    for i in (0, 40, 80):
        grey = sequence[i].rgb.astype(np.float32).mean(2)
        blocks = grey.reshape(15, 8, 20, 8).std(axis=(1, 3))
        assert (blocks > 1.0).mean() > 0.9  # no flat areas
        assert grey.std() > 25 and 40 < grey.mean() < 225
        assert np.ptp(sequence[i].rgb.astype(int), axis=2).max() > 60


def lit_floor(things: Callable[[SceneBuilder], None], light: AreaLight) -> tuple[np.ndarray, SceneMesh]:
    """Baked light of a floor of 4 x 4 m (rows of the map run against y) below a lamp, with things on it."""
    builder = SceneBuilder(np.random.default_rng(0))
    builder.quad((-2, 2, 0), (4, 0, 0), (0, -4, 0), Material())
    things(builder)
    mesh = join(builder.patches)
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.triangles))
    image = bake(scene, mesh, builder.patches, [light], [], np.random.default_rng(1))
    x, y, w, h = mesh.rect[0]
    return image[y : y + h, x : x + w, 0], mesh


def test_light_on_an_open_floor_is_the_analytic_one() -> None:
    edge = 0.2
    corner, a, b = np.array([[-edge / 2, edge / 2, 2.0], [edge, 0, 0], [0, -edge, 0]])
    lamp = AreaLight(corner, a, b, np.full(3, 50, np.float32))
    light, _ = lit_floor(lambda builder: None, lamp)
    h, w = light.shape
    x, y = np.linspace(-2, 2, w)[None], np.linspace(2, -2, h)[:, None]
    r2 = x**2 + y**2 + 4.0
    expected = 50 * edge**2 * (4.0 / r2) / (np.pi * r2)
    assert np.abs(light / expected - 1)[2:-2, 2:-2].max() < 0.03


def test_things_cast_shadows_with_soft_edges() -> None:
    corner, a, b = np.array([[-0.2, 0.2, 2.0], [0.4, 0, 0], [0, -0.4, 0]])
    lamp = AreaLight(corner, a, b, np.full(3, 50, np.float32))
    light, _ = lit_floor(lambda builder: builder.box((0, 0, 0.5), (0.6, 0.6, 0.02), Material()), lamp)
    open_floor, _ = lit_floor(lambda builder: None, lamp)
    h, w = light.shape
    row = (light / open_floor)[h // 2]
    assert row[w // 2] < 0.15 and row[w // 16] > 0.95
    edge = (row > 0.25) & (row < 0.75)  # the lamp of 0.4 m throws a penumbra of 0.13 m on each side
    assert 2 <= edge.sum() <= 10


def test_wrong_use_is_refused(sequence: RoomSequence) -> None:
    distorted = PinholeCamera.from_intrinsics(160, 120, 130, 130, 80, 60, D=(0.1, 0, 0, 0, 0))
    with pytest.raises(CalibrationError, match="distortion"):
        sequence.room.render(distorted, np.eye(4))
    with pytest.raises(IndexError):
        sequence[120]
    with pytest.raises(ConfigError, match="at least one frame"):
        RoomSequence(1, length=0)


@pytest.mark.slow
def test_room_renders_without_a_sequence(sequence: RoomSequence) -> None:
    room = Room(SEED)
    rgb, depth = room.render(SMALL, sequence.pose(3))
    expected = frame(sequence, 3)
    assert np.array_equal(rgb, expected[0]) and np.array_equal(depth, expected[1])
