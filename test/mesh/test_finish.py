"""Holes, smoothing, decimation, quality and texture of meshes, on spheres and planes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.cloud.clean_up import clean_cloud
from mono_depth_recon.cloud.cloud import Cloud, cloud_from_organised
from mono_depth_recon.cloud.voxel_grid import voxel_grid
from mono_depth_recon.config import MeshConfig
from mono_depth_recon.errors import DataError
from mono_depth_recon.mesh.components import components, drop_specks
from mono_depth_recon.mesh.files import write_mesh
from mono_depth_recon.mesh.finish import fill_holes, finish_mesh, smooth
from mono_depth_recon.mesh.grid import mesh_grid
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.mesh.poisson import mesh_poisson
from mono_depth_recon.mesh.quality import mesh_quality
from mono_depth_recon.mesh.texture import texture_of

CAMERA = PinholeCamera.from_hfov(80, 60, 60.0)


def _sphere(noise: float = 0.0) -> Mesh:
    """Radius 1 about the origin, vertices outwards by up to `noise` metres of noise."""
    import open3d as o3d

    made = o3d.geometry.TriangleMesh.create_sphere(1.0, 20)
    vertices = np.asarray(made.vertices)
    vertices = vertices * (1 + noise * np.random.default_rng(0).standard_normal((len(vertices), 1)))
    return Mesh(
        vertices.astype(np.float32), np.asarray(made.triangles, np.int32), np.full((len(vertices), 3), 90, np.uint8)
    )


def _cut(mesh: Mesh, height: float) -> Mesh:
    """Without the triangles above z = `height`."""
    return Mesh(mesh.vertices, mesh.triangles[(mesh.vertices[mesh.triangles, 2] < height).all(axis=1)], mesh.colors)


def _volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_quality_of_a_sphere_and_of_two_with_one_open() -> None:
    whole = mesh_quality(_sphere())
    assert whole.watertight and whole.components == 1 and whole.boundary == 0
    assert 5 < whole.roughness_deg < 12, "facets of 20 rings: 9 degrees"
    sphere, cut = _sphere(), _cut(_sphere(), 0.5)
    both = Mesh(
        np.concatenate([sphere.vertices, cut.vertices + 5]),
        np.concatenate([sphere.triangles, cut.triangles + len(sphere.vertices)]),
        np.concatenate([sphere.colors, cut.colors]),
    )
    quality = mesh_quality(both)
    assert not quality.watertight and quality.components == 2 and quality.boundary > 0
    assert "2 parts, open" in quality.text()
    assert mesh_quality(Mesh(sphere.vertices, np.empty((0, 3), np.int32), sphere.colors)).components == 0


def test_holes_are_closed_up_to_their_size() -> None:
    cut = _cut(_sphere(), 0.95)  # a hole of some 0.75 m
    assert not mesh_quality(cut).watertight
    assert fill_holes(cut, 0.3) is cut
    closed = fill_holes(cut, 1.0)
    assert mesh_quality(closed).watertight
    assert _volume(closed) == pytest.approx(_volume(_sphere()), rel=0.03), "the new triangles face outwards too"
    assert (closed.colors[-1] == 90).all()


def test_smoothing_keeps_the_volume_and_the_colours() -> None:
    rough = _sphere(0.01)
    rough.colors[::2] = 200
    smoothed = smooth(rough, 10)
    assert mesh_quality(smoothed).roughness_deg < 0.7 * mesh_quality(rough).roughness_deg
    assert _volume(smoothed) == pytest.approx(_volume(rough), rel=0.02)
    np.testing.assert_array_equal(smoothed.colors, rough.colors)


def test_smoothing_makes_a_surface_of_slivers_smoother_too() -> None:
    """A rough wall by Poisson, whose triangles are of any shape."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.linspace(-1, 1, 80), np.linspace(-1, 1, 80))
    points = np.column_stack([x.ravel(), y.ravel(), 2 + 0.01 * rng.standard_normal(x.size)]).astype(np.float32)
    rough = mesh_poisson(Cloud(points, np.zeros((x.size, 3), np.uint8)), 6, 0.05)
    before, few, many = (mesh_quality(each).roughness_deg for each in (rough, smooth(rough, 3), smooth(rough, 30)))
    assert before > few > many


def test_finishing_does_what_the_parameters_say() -> None:
    cut = _cut(_sphere(), 0.95)
    assert finish_mesh(cut, MeshConfig()) is cut
    finished = finish_mesh(cut, replace(MeshConfig(), hole_size=1.0, smoothing=2, triangles=600))
    assert mesh_quality(finished).boundary < 0.01 and len(finished.triangles) <= 600


def test_parts_share_a_vertex_and_quality_counts_by_edges() -> None:
    """Two triangles that touch in a corner are one part of a mesh, and two components of a surface."""
    triangles = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7]], np.int32)
    mesh = Mesh(np.random.default_rng(0).random((9, 3), np.float32), triangles, np.zeros((9, 3), np.uint8))
    assert components(9, triangles[:, :2].ravel(), triangles[:, 1:].ravel()).tolist() == [0] * 5 + [1] * 3 + [2]
    np.testing.assert_array_equal(drop_specks(mesh, 2).triangles, [[0, 1, 2], [2, 3, 4]])
    np.testing.assert_array_equal(drop_specks(mesh, 9).triangles, [[0, 1, 2], [2, 3, 4]])
    assert mesh_quality(mesh).components == 3


def test_specks_go_and_the_largest_part_stays() -> None:
    sphere = _sphere()
    speck = Mesh(
        np.concatenate([sphere.vertices, np.eye(3, dtype=np.float32) + 4]),
        np.concatenate([sphere.triangles, np.arange(3, dtype=np.int32)[None] + len(sphere.vertices)]),
        np.concatenate([sphere.colors, np.zeros((3, 3), np.uint8)]),
    )
    assert len(drop_specks(speck, 10).triangles) == len(sphere.triangles)
    assert len(drop_specks(sphere, 10**6).triangles) == len(sphere.triangles)


def _gradient_frame() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colour that encodes its own pixel, on a slanted plane."""
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = np.arange(80)[None, :] * 3, np.arange(60)[:, None] * 4
    depth = (2.0 / (1 + 0.2 * CAMERA.rays[0][None, :] * np.ones((60, 1)))).astype(np.float32)
    depth[:5] = np.nan
    return rgb, back_project(depth, CAMERA, rgb)


def test_texture_coordinates_find_the_pixel_that_saw_the_vertex(tmp_path: Path) -> None:
    rgb, points = _gradient_frame()
    mesh = mesh_grid(points, 0.05)
    texture = texture_of(mesh, points)
    np.testing.assert_array_equal(texture.image, rgb)
    column, row = (texture.uv * (80, 60) - 0.5).T
    assert np.abs(rgb[np.rint(row).astype(int), np.rint(column).astype(int)].astype(int) - mesh.colors).max() == 0
    write_mesh(mesh, tmp_path / "mesh.obj", texture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.jpg", "mesh.mtl", "mesh.obj"]
    assert "map_Kd mesh.jpg" in (tmp_path / "mesh.mtl").read_text()
    import open3d as o3d

    read = o3d.io.read_triangle_mesh(str(tmp_path / "mesh.obj"), enable_post_processing=False)
    assert len(read.triangles) == len(mesh.triangles) and read.has_triangle_uvs() and len(read.textures) >= 1
    with pytest.raises(DataError, match=r"a texture goes into \.obj or \.glb"):
        write_mesh(mesh, tmp_path / "mesh.ply", texture)


def test_glb_carries_its_texture(tmp_path: Path) -> None:
    import cv2

    rgb, points = _gradient_frame()
    mesh = mesh_grid(points, 0.05)
    write_mesh(mesh, tmp_path / "mesh.glb", texture_of(mesh, points))
    data = (tmp_path / "mesh.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    body = data[28 + length :]
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "TEXCOORD_0"}
    assert tree["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0}
    view = tree["bufferViews"][tree["images"][0]["bufferView"]]
    picture = cv2.imdecode(np.frombuffer(body[view["byteOffset"] :][: view["byteLength"]], np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(picture[..., ::-1].astype(int) - rgb).mean() < 3


def test_the_voxel_grid_against_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.2, (3000, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (3000, 3), np.uint8)
    cells: dict[tuple[int, ...], list[int]] = {}
    for place, cell in enumerate(np.floor(points / np.float32(0.05) + np.float32(0.5)).astype(int)):
        cells.setdefault(tuple(cell.tolist()), []).append(place)
    thinned, tints = voxel_grid(points, colors, 0.05)
    assert len(thinned) == len(cells)
    for row, cell in enumerate(sorted(cells)):
        np.testing.assert_allclose(thinned[row], points[cells[cell]].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(tints[row], colors[cells[cell]].mean(axis=0), atol=0.51)


def test_the_voxel_grid_at_its_borders() -> None:
    empty = np.empty((0, 3), np.float32)
    assert len(voxel_grid(empty, np.empty((0, 3), np.uint8), 0.1)[0]) == 0
    far = np.array([[0, 0, 0], [1e30, 1e30, 1e30]], np.float32)
    with pytest.raises(DataError, match="not too far apart"):
        voxel_grid(far, np.zeros((2, 3), np.uint8), 0.01)


def test_lone_points_go_by_radius() -> None:
    _, points = _gradient_frame()
    points[20, 40, :3] = 0, 0, 0.5
    settings = MeshConfig(voxel_size=0.0, outlier_neighbors=0, outlier_radius=0.2)
    kept = clean_cloud(cloud_from_organised(points), settings)
    assert len(kept) == np.isfinite(points[..., 2]).sum() - 1 and kept.points[:, 2].min() > 1
