"""Mesh and cloud files read back by trimesh, Open3D and parsers written here; nothing partial on failure."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from processes import DEADLINE_S

from mono_depth_recon.atomic import remove_partial_files, unused_path, writable_folder, write_atomically
from mono_depth_recon.cloud.cloud import Cloud
from mono_depth_recon.config import PARAMETERS
from mono_depth_recon.errors import DataError
from mono_depth_recon.mesh.files import MESH_WRITERS, TEXTURED, write_cloud, write_mesh
from mono_depth_recon.mesh.mesh import Mesh
from mono_depth_recon.mesh.texture import Texture
from mono_depth_recon.srgb import linear_light


@pytest.fixture
def mesh() -> Mesh:
    """A tetrahedron over the optical axis, corners of four colours."""
    vertices = np.array([[0, 0, 1], [1, 0, 2], [0, 1, 2], [-1, -0.5, 2.25]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
    colors = np.array([[255, 0, 0], [0, 128, 0], [7, 31, 255], [200, 200, 200]], np.uint8)
    return Mesh(vertices, triangles, colors)


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_open3d_reads_back_the_same_mesh(suffix: str, mesh: Mesh, tmp_path: Path) -> None:
    import open3d as o3d

    write_mesh(mesh, tmp_path / f"m{suffix}")
    back = o3d.io.read_triangle_mesh(str(tmp_path / f"m{suffix}"))
    np.testing.assert_allclose(np.asarray(back.vertices), mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(back.triangles), mesh.triangles)
    np.testing.assert_array_equal(np.rint(np.asarray(back.vertex_colors) * 255), mesh.colors)


def test_open3d_reads_back_the_same_cloud(mesh: Mesh, tmp_path: Path) -> None:
    import open3d as o3d

    write_cloud(Cloud(mesh.vertices, mesh.colors), tmp_path / "c.ply")
    back = o3d.io.read_point_cloud(str(tmp_path / "c.ply"))
    np.testing.assert_array_equal(np.asarray(back.points), mesh.vertices)
    np.testing.assert_array_equal(np.rint(np.asarray(back.colors) * 255), mesh.colors)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_trimesh_reads_back_the_same_mesh(suffix: str, mesh: Mesh, tmp_path: Path) -> None:
    """GLB upright by its node; its colours are in linear light."""
    import trimesh

    write_mesh(mesh, tmp_path / f"m{suffix}")
    back = trimesh.load_mesh(tmp_path / f"m{suffix}", process=False)
    turned = [1, -1, -1] if suffix == ".glb" else [1, 1, 1]
    np.testing.assert_allclose(back.vertices, mesh.vertices * turned, atol=1e-5)
    np.testing.assert_array_equal(back.faces, mesh.triangles)
    if suffix == ".glb":
        (shape,) = trimesh.load_scene(tmp_path / "m.glb", process=False).geometry.values()
        linear = shape.visual.vertex_attributes["color"][:, :3] / 65535
        np.testing.assert_allclose(linear, linear_light(mesh.colors), atol=1e-5)
    else:
        np.testing.assert_array_equal(back.visual.vertex_colors[:, :3], mesh.colors)


def test_trimesh_reads_the_corners_of_an_stl(mesh: Mesh, tmp_path: Path) -> None:
    import trimesh

    write_mesh(mesh, tmp_path / "m.stl")
    back = trimesh.load_mesh(tmp_path / "m.stl", process=False)
    np.testing.assert_array_equal(back.triangles, mesh.vertices[mesh.triangles])
    normals = np.cross(back.triangles[:, 1] - back.triangles[:, 0], back.triangles[:, 2] - back.triangles[:, 0])
    assert (np.einsum("ij,ij->i", back.face_normals, normals) > 0).all(), "the same side is the front"


@pytest.mark.parametrize("suffix", TEXTURED)
def test_trimesh_reads_texture_and_coordinates(suffix: str, mesh: Mesh, tmp_path: Path) -> None:
    import trimesh

    image = np.zeros((32, 48, 3), np.uint8)
    image[:16], image[16:] = (250, 10, 10), (10, 10, 250)  # red above blue
    uv = np.array([[0, 0], [1, 0], [0, 1], [0.25, 0.75]], np.float32)
    write_mesh(mesh, tmp_path / f"m{suffix}", Texture(image, uv))
    back = trimesh.load_mesh(tmp_path / f"m{suffix}", process=False)
    material = back.visual.material
    picture = material.image if suffix == ".obj" else material.baseColorTexture
    far = np.r_[:14, 18:32]  # JPEG blurs colours across the border
    np.testing.assert_allclose(np.asarray(picture)[far], image[far], atol=12)
    turned = [1, -1, -1] if suffix == ".glb" else [1, 1, 1]
    np.testing.assert_allclose(back.triangles, (mesh.vertices * turned)[mesh.triangles], atol=1e-5)
    np.testing.assert_allclose(back.visual.uv[back.faces], (uv * [1, -1] + [0, 1])[mesh.triangles], atol=1e-5)


@pytest.mark.parametrize("name", ["a b", "a  b", "a #b", "#a", "a ", "a\\b", "-o a", "é", "a'\"b"])
def test_trimesh_finds_the_texture_of_any_name_that_is_written(name: str, mesh: Mesh, tmp_path: Path) -> None:
    import trimesh

    write_mesh(mesh, tmp_path / f"{name}.obj", Texture(np.full((8, 9, 3), 77, np.uint8), np.zeros((4, 2), np.float32)))
    material = trimesh.load_mesh(tmp_path / f"{name}.obj", process=False).visual.material
    np.testing.assert_allclose(np.asarray(material.image), np.full((8, 9, 3), 77), atol=2)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\x0ab"),
        ("a\\\nb", r"a\\x0ab"),
        ("a\rb", r"a\x0db"),
        ("a\x85b", r"a\x85b"),
        ("a\u2028b", r"a\u2028b"),
        (" a", " a"),
    ],
)
def test_a_name_that_a_line_cannot_hold_is_refused_before_anything_is_written(
    name: str, shown: str, mesh: Mesh, tmp_path: Path
) -> None:
    texture = Texture(np.zeros((8, 8, 3), np.uint8), np.zeros((4, 2), np.float32))
    with pytest.raises(DataError, match=re.escape(f"cannot hold '{shown}.obj': rename it")) as caught:
        write_mesh(mesh, tmp_path / f"{name}.obj", texture)
    assert len(str(caught.value).splitlines()) == 1 and not list(tmp_path.iterdir())
    write_mesh(mesh, tmp_path / f"{name}.obj")
    write_mesh(mesh, tmp_path / f"{name}.glb", texture)


def test_stl_holds_the_corners_unit_normals_and_colours(mesh: Mesh, tmp_path: Path) -> None:
    write_mesh(mesh, tmp_path / "m.stl")
    data = (tmp_path / "m.stl").read_bytes()
    assert not data.startswith(b"solid") and len(data) == 84 + 50 * len(mesh.triangles)
    assert struct.unpack_from("<I", data, 80) == (len(mesh.triangles),)
    for row, triangle in enumerate(mesh.triangles):
        *numbers, color = struct.unpack_from("<12fH", data, 84 + 50 * row)
        normal, corners = np.array(numbers[:3]), np.reshape(numbers[3:], (3, 3))
        np.testing.assert_array_equal(corners, mesh.vertices[triangle])
        expected = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        np.testing.assert_allclose(normal, expected / np.linalg.norm(expected), atol=1e-6)
        channels = [(color >> shift & 31) * 8 for shift in (10, 5, 0)]
        assert color >> 15 == 1 and np.abs(channels - mesh.colors[triangle].mean(axis=0)).max() < 8


def test_glb_parsed_by_its_specification(mesh: Mesh, tmp_path: Path) -> None:
    write_mesh(mesh, tmp_path / "m.glb")
    document, binary = _parse_glb((tmp_path / "m.glb").read_bytes())
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    vertices = _accessor(document, binary, attributes["POSITION"])
    np.testing.assert_array_equal(vertices, mesh.vertices)
    indices = _accessor(document, binary, document["meshes"][0]["primitives"][0]["indices"])
    np.testing.assert_array_equal(indices.reshape(-1, 3), mesh.triangles)
    linear = _accessor(document, binary, attributes["COLOR_0"])[:, :3] / 65535
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_array_equal(np.rint(srgb * 255), mesh.colors)
    x, y, z, w = document["nodes"][0]["rotation"]
    assert (w, x, y, z) == (0, 1, 0, 0)  # half a turn about x takes y down to y up
    box = document["accessors"][attributes["POSITION"]]
    assert box["min"] == vertices.min(axis=0).tolist() and box["max"] == vertices.max(axis=0).tolist()


def _parse_glb(data: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and json_length % 4 == 0
    binary_length, kind = struct.unpack_from("<I4s", data, 20 + json_length)
    assert kind == b"BIN\0" and binary_length % 4 == 0 and 28 + json_length + binary_length == len(data)
    return json.loads(data[20 : 20 + json_length]), data[28 + json_length :]


def _accessor(document: dict[str, Any], binary: bytes, index: int) -> NDArray[Any]:
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    dtype = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= len(binary)
    values = np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"])
    return values.reshape(-1, width) if width > 1 else values


def test_an_unknown_format_names_the_known_ones(mesh: Mesh, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"{', '.join(MESH_WRITERS)}, got 'm.fbx'")):
        write_mesh(mesh, tmp_path / "m.fbx")
    with pytest.raises(DataError, match=r"\.ply"):
        write_cloud(Cloud(mesh.vertices, mesh.colors), tmp_path / "c.obj")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", list(MESH_WRITERS))
def test_a_missing_folder_is_one_clear_line(suffix: str, mesh: Mesh, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*: No such file or directory; choose") as caught:
        write_mesh(mesh, tmp_path / "gone" / f"m{suffix}")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_and_says_how_much_was_needed(tmp_path: Path) -> None:
    """The limit on the size of files (EFBIG) stands for the full disk: it needs no root and no mount."""
    code = """if True:
        import sys; from pathlib import Path; import numpy as np
        from mono_depth_recon.cloud.cloud import Cloud; from mono_depth_recon.errors import DataError
        from mono_depth_recon.mesh.files import write_cloud
        cloud = Cloud(np.zeros((100000, 3), np.float32), np.zeros((100000, 3), np.uint8))
        try: write_cloud(cloud, Path(sys.argv[1]) / 'c.ply')
        except DataError as error: print(error)"""
    (tmp_path / "c.ply").write_text("what was there")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        preexec_fn=_limit_files,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "needs 1.5 MB" in done.stdout and "free some space" in done.stdout and done.stdout.count("\n") == 1, (
        done.stderr
    )
    assert (tmp_path / "c.ply").read_text() == "what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["c.ply"]


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # Python ignores SIGXFSZ: write() fails instead


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_really_full_disk(mesh: Mesh, tmp_path: Path) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True)
    if mount.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        big = Cloud(np.zeros((10000, 3), np.float32), np.zeros((10000, 3), np.uint8))
        with pytest.raises(
            DataError, match=r"No space left on device; it needs 0\.2 MB, 0\.1 MB are free: free some space"
        ):
            write_cloud(big, tmp_path / "c.ply")
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="permissions"):
        writable_folder(tmp_path)
    with pytest.raises(DataError, match="cannot make"):
        writable_folder(tmp_path / "new")


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot make the folder"):
        writable_folder(tmp_path / "file")
    assert writable_folder(tmp_path / "a" / "b").is_dir()


def test_names_do_not_collide_and_leftovers_go(tmp_path: Path) -> None:
    path = tmp_path / "mesh_1.ply"
    assert unused_path(path) == path
    write_atomically(path, [b"1"])
    assert unused_path(path).name == "mesh_1_2.ply"
    (tmp_path / ".mesh_1.ply.123.part").write_text("half")
    (tmp_path / ".mesh_1.ply.1234.part").write_text("another process")
    remove_partial_files(tmp_path, 123)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mesh_1.ply.1234.part", "mesh_1.ply"]


def test_the_parameter_offers_every_format() -> None:
    assert PARAMETERS["mesh.format"].choices == tuple(suffix.removeprefix(".") for suffix in MESH_WRITERS)
