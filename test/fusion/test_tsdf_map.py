"""The map of many frames: analytic planes, exact rooms, the real cabinet; its bound and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.arrays import Depth, Matrix, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FusionConfig
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Sample
from mono_depth_recon.fusion.fusion import FUSED, Fusion, FusionFrame
from mono_depth_recon.fusion.integration import FrameView, blend_arrays, blend_tensors
from mono_depth_recon.fusion.tsdf_map import TsdfMap
from mono_depth_recon.fusion.weights import incidence, pixel_weights
from mono_depth_recon.metrics.surface import Surface, surface_metrics

CAMERA = PinholeCamera.from_hfov(160, 120, 60.0)
BLUE = (30, 60, 200)
Z = 2.007


def _at(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Matrix:
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def _wall(metres: float = Z) -> tuple[Depth, Rgb]:
    """The plane z = `metres` of the world, seen from z = 0 along z; not on the planes of the voxels."""
    return np.full((120, 160), metres, np.float32), np.full((120, 160, 3), BLUE, np.uint8)


def _wall_map(**options: float) -> TsdfMap:
    made = TsdfMap(0.02, device="cpu", **options)  # type: ignore[arg-type]
    for x in (0.0, 0.1, 0.2):
        made.integrate(*_wall(), CAMERA, _at(x), depth_max=5.0)
    return made


def test_a_wall_comes_back_where_it_is_and_in_its_colour() -> None:
    mesh = _wall_map().mesh()
    assert len(mesh.triangles) > 1000
    np.testing.assert_allclose(mesh.vertices[:, 2], Z, atol=2e-3)
    assert np.abs(mesh.colors.astype(int) - BLUE).max() <= 1
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).all(), "triangles must face the camera"


def test_the_map_renders_the_depth_that_went_in() -> None:
    rendered = _wall_map().render(CAMERA, _at(0.1), 5.0)
    inner = rendered[20:-20, 20:-20]
    assert np.isfinite(inner).mean() > 0.99
    np.testing.assert_allclose(inner[np.isfinite(inner)], Z, atol=1e-3)
    assert np.isnan(TsdfMap(0.02, device="cpu").render(CAMERA, _at())).all()


@pytest.mark.parametrize("size", [(160, 90), (80, 60), (101, 77)])
def test_the_map_renders_images_of_any_size(size: tuple[int, int]) -> None:
    """Open3D's ray casting does not end where the height is no multiple of 8."""
    rendered = _wall_map().render(PinholeCamera.from_hfov(*size, 60.0), _at(0.1), 5.0)
    assert rendered.shape == size[::-1]
    inner = rendered[15:-15, 15:-15]
    assert np.isfinite(inner).mean() > 0.98 and np.nanmax(np.abs(inner - Z)) < 2e-3


def test_a_view_beside_the_surface_shows_nothing() -> None:
    assert np.isnan(_wall_map().render(CAMERA, _at(x=30.0), 5.0)).all()


def test_weights_make_a_weighted_mean() -> None:
    made = TsdfMap(0.02, device="cpu")
    for metres, weight in ((Z, 0.9), (Z + 0.03, 0.3)):
        depth, rgb = _wall(metres)
        made.integrate(depth, rgb, CAMERA, _at(), np.full(depth.shape, weight, np.float32))
    vertices = made.mesh().vertices
    assert np.median(vertices[:, 2]) == pytest.approx(Z + 0.03 * 0.3 / 1.2, abs=2e-3)


def test_pixels_of_no_weight_and_beyond_the_limit_are_left_out() -> None:
    depth, rgb = _wall()
    made = TsdfMap(0.02, device="cpu")
    assert made.integrate(depth, rgb, CAMERA, _at(), np.zeros_like(depth)) == 0
    assert made.integrate(depth, rgb, CAMERA, _at(), depth_max=1.5) == 0
    assert made.integrate(np.full_like(depth, np.nan), rgb, CAMERA, _at()) == 0
    assert made.blocks == 0 and made.frames == 0


def test_incidence_of_a_tilted_plane() -> None:
    x, y = CAMERA.rays
    normal = np.array([0.4, -0.2, 1.0]) / np.linalg.norm([0.4, -0.2, 1.0])
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
    depth = (2.0 / (rays @ normal)).astype(np.float32)
    expected = (rays @ normal) / np.linalg.norm(rays, axis=-1)
    np.testing.assert_allclose(incidence(depth, CAMERA)[2:-2, 2:-2], expected[2:-2, 2:-2], atol=2e-3)


def test_weights_fall_with_sigma_and_vanish_on_edges() -> None:
    depth, _ = _wall()
    depth[:, 80:] = 3.0
    sigma = np.full_like(depth, 0.08)
    sigma[:60] = np.nan
    weight = pixel_weights(depth, CAMERA, sigma, 0.08)
    plain = pixel_weights(depth, CAMERA, None, 0.08)
    assert (weight[:, 79:81] == 0).all()
    np.testing.assert_allclose(weight[61:110, 5:70], plain[61:110, 5:70] / 2, rtol=1e-5)
    np.testing.assert_array_equal(weight[5:60, 5:70], plain[5:60, 5:70])


def test_both_ways_to_blend_agree() -> None:
    """The numpy one of the CPU and the tensor one of CUDA devices, on the CPU."""
    depth = 2 + 0.3 * np.random.default_rng(0).random((120, 160)).astype(np.float32)
    rgb = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    projection = (CAMERA.K @ np.eye(4)[:3]).astype(np.float32)
    held = []
    for blend in (blend_arrays, blend_tensors):
        made = TsdfMap(0.02, device="cpu")
        made.integrate(*_wall(), CAMERA, _at())
        active = made._grid.hashmap().active_buf_indices()
        blend(made._grid, active, FrameView(depth, np.full_like(depth, 0.7), rgb, projection), 0.02, 0.08)
        held.append([made._values(name)[active.numpy()] for name in ("tsdf", "weight", "color")])
    for first, second in zip(*held, strict=True):
        apart = np.abs(first - second) > 1e-3
        assert apart.mean() < 2e-3, "only where a voxel falls between two pixels"


def test_the_number_of_blocks_is_bounded_and_the_oldest_leave() -> None:
    made = TsdfMap(0.02, max_blocks=400, device="cpu")
    capacity = made._grid.hashmap().capacity()
    for x in np.arange(0.0, 6.0, 0.3):
        assert made.integrate(*_wall(), CAMERA, _at(float(x)))
        assert made.blocks <= 400
    assert made.evicted > 0 and made._grid.hashmap().capacity() == capacity
    vertices = made.mesh().vertices
    assert vertices[:, 0].min() > 1.0, "what was seen first has left"
    assert vertices[:, 0].max() > 6.5, "what was seen last is there"
    np.testing.assert_allclose(vertices[:, 2], Z, atol=2e-3)


def test_a_frame_larger_than_the_map_keeps_its_nearest_blocks() -> None:
    made = TsdfMap(0.02, max_blocks=100, device="cpu")
    assert made.integrate(*_wall(), CAMERA, _at()) == 100
    assert np.abs(made.mesh().vertices[:, :2]).max() < 0.9


def test_a_map_is_written_and_loaded_again(tmp_path: Path) -> None:
    made = _wall_map()
    made.save(tmp_path / "map.npz")
    loaded = TsdfMap.load(tmp_path / "map.npz", device="cpu")
    assert loaded.blocks == made.blocks and loaded.frames == 3 and loaded.voxel_size == 0.02
    for each in (made, loaded):  # and fusing goes on
        each.integrate(*_wall(), CAMERA, _at(0.4))
    first, second = made.mesh(), loaded.mesh()
    assert len(first.triangles) == len(second.triangles)
    np.testing.assert_allclose(np.sort(first.vertices, axis=0), np.sort(second.vertices, axis=0), atol=1e-5)
    with pytest.raises(DataError, match="over the limit of 20"):
        TsdfMap.load(tmp_path / "map.npz", max_blocks=20)


def test_files_that_are_no_map(tmp_path: Path) -> None:
    _wall_map().save(tmp_path / "map.npz")
    whole = (tmp_path / "map.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("not a map")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("cut", "text", "other"):
        with pytest.raises(DataError, match="must be a file that save_map wrote"):
            TsdfMap.load(tmp_path / f"{name}.npz", device="cpu")
    with pytest.raises(DataError, match="cannot be read"):
        TsdfMap.load(tmp_path / "missing.npz", device="cpu")


def test_an_empty_map_has_no_mesh_and_no_file(tmp_path: Path) -> None:
    made = TsdfMap(0.02, device="cpu")
    for asked in (made.mesh, made.cloud, lambda: made.save(tmp_path / "map.npz")):
        with pytest.raises(DataError, match="it is empty"):
            asked()
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"written as \.npz"):
        _wall_map().save(tmp_path / "map.ply")
    with pytest.raises(DataError, match="no voxel of the map reaches the weight"):
        _wall_map().mesh(50.0)


def test_reset_forgets_everything_and_the_cloud_lies_on_the_surface() -> None:
    made = _wall_map()
    np.testing.assert_allclose(made.cloud().points[:, 2], Z, atol=2e-3)
    made.reset()
    assert made.blocks == 0 and made.frames == 0


def test_a_missing_device_is_named() -> None:
    import open3d as o3d

    if o3d.core.cuda.is_available():
        pytest.skip("this Open3D has a CUDA device")
    with pytest.raises(ConfigError, match="fusion.device=cuda"):
        TsdfMap(0.02, device="cuda")


def _fused(samples: list[Sample], depth_max: float) -> Fusion:
    made = Fusion(FusionConfig(device="cpu", depth_max=depth_max, align=0.0, parallax=False, max_speed=100.0))
    for sample in samples:
        assert sample.depth is not None
        made.add(FusionFrame(sample.rgb, sample.depth, sample.camera, sample.stamp, sample.T_world_camera))
    assert made.counts[FUSED] > 0.9 * len(samples), made.report()
    return made


@pytest.mark.slow
def test_an_exact_room_with_exact_poses() -> None:
    """F-score at 5 cm of the fused mesh against the exact points that the camera saw."""
    sequence = RoomSequence(3, PinholeCamera.from_hfov(320, 240, 62.0), length=60)
    samples = [sequence[i] for i in range(0, 60, 6)]
    mesh = _fused(samples, 5.0).mesh()
    points = []
    for sample in samples:
        assert sample.depth is not None and sample.T_world_camera is not None
        x, y = sample.camera.rays
        near = sample.depth < 5.0
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
        seen = (rays * sample.depth[..., None])[near]
        points.append(seen @ sample.T_world_camera[:3, :3].T + sample.T_world_camera[:3, 3])
    truth = Surface(np.concatenate(points).astype(np.float32), np.empty((0, 3), np.int32))
    assert np.abs(sequence.room.clearance(truth.vertices[::101])).max() < 1e-3, "the truth lies on the room"
    metrics = surface_metrics(Surface(mesh.vertices, mesh.triangles), truth, 0.05, 20000)
    print(metrics.text())
    assert metrics.f_score > 0.95


Plane = tuple[NDArray[np.float64], float]


def _plane(points: NDArray[np.float64]) -> Plane:
    centre = points.mean(axis=0)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
    return normal, float(-normal @ centre)


def _box_faces(vertices: NDArray[np.float64], centre: NDArray[np.float64]) -> tuple[list[Plane], Plane]:
    """Planes of the top and four sides of the box that stands at `centre` (x, y), normals outwards, and the floor."""
    aside = np.linalg.norm(vertices[:, :2] - centre, axis=1)
    up, level = _plane(vertices[(aside < 1.0) & (np.abs(vertices[:, 2]) < 0.06)])
    up, level = (up, level) if up[2] > 0 else (-up, -level)
    height = vertices @ up + level
    body = vertices[(aside < 0.6) & (height > 0.08)]
    above = body @ up + level
    top = np.percentile(above, 97)
    faces, rest = [_plane(body[np.abs(above - top) < 0.03])], body[above < top - 0.05]
    middle = (rest.min(axis=0) + rest.max(axis=0)) / 2
    rng = np.random.default_rng(0)
    for _ in range(4):  # upright planes through two points, the one with the most others
        pairs = rest[rng.integers(len(rest), size=(400, 2))]
        normals = np.cross(pairs[:, 1] - pairs[:, 0], up)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        near = np.abs(rest @ normals.T - np.einsum("ij,ij->i", normals, pairs[:, 0])) < 0.015
        best = int(near.sum(axis=0).argmax())
        faces.append(_plane(rest[near[:, best]]))
        rest = rest[np.abs(rest @ faces[-1][0] + faces[-1][1]) > 0.03]
    outwards = [(n, d) if n @ middle + d < 0 else (-n, -d) for n, d in faces]
    return outwards, (up, level)


def _looked_at(samples: list[Sample]) -> NDArray[np.float64]:
    """The point (3,) nearest to the optical axes of all cameras."""
    poses = np.stack([s.T_world_camera for s in samples if s.T_world_camera is not None])
    across = np.eye(3) - np.einsum("ni,nj->nij", poses[:, :3, 2], poses[:, :3, 2])
    return np.linalg.solve(across.sum(axis=0), np.einsum("nij,nj->i", across, poses[:, :3, 3]))


@pytest.mark.slow
def test_the_planes_of_a_real_cabinet(tum_folder: Callable[[str], Path]) -> None:
    """All vertices within a face's outline, 3 cm inside its edges, and up to half the box from it.

    With -s it prints the figures.
    """
    samples = list(TumFolder(tum_folder("rgbd_dataset_freiburg3_cabinet_keyframes")))[::2]
    vertices = _fused(samples, 2.5).mesh().vertices.astype(np.float64)
    faces, (up, level) = _box_faces(vertices, _looked_at(samples)[:2])
    for place, (normal, offset) in enumerate(faces):
        across = [(n, d) for n, d in faces if abs(n @ normal) < 0.5]
        thickness = min(abs(offset + d) for n, d in [*faces, (-up, -level)] if n @ normal < -0.5)
        inside = (vertices @ up + level > 0.03) & (np.abs(vertices @ normal + offset) < thickness / 2)
        for n, d in across:
            inside &= vertices @ n + d < -0.03
        assert inside.sum() > 300
        rms = np.sqrt(np.mean(np.square(vertices[inside] @ normal + offset)))
        assert rms < 0.015, f"face {place}: {100 * rms:.2f} cm"
        between = [np.degrees(np.arccos(np.clip(abs(n @ normal), 0, 1))) for n, _ in [*across, (up, level)]]
        off = max(min(abs(angle - 90), angle) for angle in between)
        print(
            f"face {place}: {inside.sum()} vertices, RMS to its plane {100 * rms:.2f} cm, right angles within "
            f"{off:.2f} degrees"
        )
        assert off < 2
