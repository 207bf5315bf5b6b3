"""Writers of clouds (PLY) and meshes (PLY, OBJ, STL, GLB), with colours, OBJ and GLB also with textures, written whole.

Coordinates are metres in the optical frame (x right, y down, z forward). GLB carries the rotation to glTF's
y-up frame in its node, so that viewers show it upright; the vertices themselves stay in the optical frame.

Why these writers and not trimesh's: 300,304 vertices and 598,418 triangles took 0.06 s as PLY (trimesh 5.2: 0.28 s),
1.6 s as textured OBJ (5.5 s), 0.10 s as GLB (0.09 s) and 0.31 s as STL (0.59 s), with the sync to the disk that only
ours have, with 44 to 76 % of the peak memory (2 cores of an x86 server under load; `mono-depth-recon benchmark --only
mesh-files`). In GLB trimesh keeps sRGB bytes as vertex colours, which glTF reads as linear light, and writes no unlit
material; in OBJ its .mtl and image have fixed names, so that two meshes in one folder share them, and reflect 40 %; in
STL it has no colours. The tests read every format back with trimesh.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import Chunk, write_atomically, write_together
from ..cloud.cloud import Cloud
from ..errors import DataError
from ..printing import one_line, printable
from ..srgb import linear_light
from .mesh import Mesh
from .texture import Texture

_FRAME = "metres, optical frame: x right, y down, z forward"
_PLY_VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_PLY_FACE = np.dtype([("count", "u1"), ("vertices", "<i4", 3)])
_STL_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("color", "<u2")])


def write_cloud(cloud: Cloud, path: Path) -> None:
    """Writes a binary PLY. Raises DataError for another suffix, an unwritable folder or a full disk."""
    if path.suffix.lower() != ".ply":
        raise DataError(f"a cloud is written as .ply, got '{path.name}'")
    header = _ply_header(len(cloud), None)
    write_atomically(path, [header, _ply_vertices(cloud.points, cloud.colors)])


def write_mesh(mesh: Mesh, path: Path, texture: Texture | None = None) -> None:
    """Writes the mesh in the format of the suffix, with `texture` in place of vertex colours where it is given.

    A textured OBJ has two files beside it, .mtl and .jpg; all three or none are written. Raises DataError as
    `write_cloud` does, and for a texture in another format than TEXTURED.
    """
    suffix = path.suffix.lower()
    writer = MESH_WRITERS.get(suffix)
    if writer is None:
        raise DataError(f"a mesh is written as {', '.join(MESH_WRITERS)}, got '{path.name}'")
    if texture is None:
        write_atomically(path, writer(mesh))
    elif suffix == ".glb":
        write_atomically(path, _glb_mesh(mesh, texture))
    elif suffix == ".obj":
        check_textured_obj(path)
        picture, library = path.with_suffix(".jpg"), path.with_suffix(".mtl")
        parts = [(picture, [texture.jpeg()]), (library, [_material(picture.name)])]
        write_together([*parts, (path, _textured_obj(mesh, texture, library.name))])
    else:
        raise DataError(f"a texture goes into {' or '.join(TEXTURED)}, got '{path.name}': set mesh.texture=false")


def check_textured_obj(path: Path) -> None:
    """Raises DataError for the name of a textured OBJ that its lines mtllib and map_Kd cannot hold."""
    if one_line(path.name) != printable(path.name) or path.name != path.name.lstrip():
        raise DataError(
            f"a textured OBJ names its files in lines of text, which cannot hold '{one_line(path.name)}': rename it "
            "(no line break or control character, no blank in front), or set mesh.format=glb"
        )


def _ply_mesh(mesh: Mesh) -> list[Chunk]:
    """Binary little-endian PLY with vertex colours."""
    faces = np.empty(len(mesh.triangles), _PLY_FACE)
    faces["count"] = 3
    faces["vertices"] = mesh.triangles
    return [_ply_header(len(mesh.vertices), len(faces)), _ply_vertices(mesh.vertices, mesh.colors), faces]


def _ply_header(vertices: int, faces: int | None) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"comment {_FRAME}", f"element vertex {vertices}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    if faces is not None:
        lines += [f"element face {faces}", "property list uchar int vertex_indices"]
    return ("\n".join([*lines, "end_header"]) + "\n").encode()


def _ply_vertices(points: NDArray[np.float32], colors: NDArray[np.uint8]) -> NDArray[Any]:
    rows = np.empty(len(points), _PLY_VERTEX)
    rows["xyz"] = points
    rows["rgb"] = colors
    return rows


def _obj_mesh(mesh: Mesh) -> list[Chunk]:
    """OBJ text with the vertex colours that MeshLab, Blender and Open3D read (0 to 1 behind the coordinates)."""
    vertices = np.concatenate([mesh.vertices, mesh.colors / np.float32(255)], axis=1)
    return [
        f"# {_FRAME}\n".encode(),
        _text_rows("v %.5f %.5f %.5f %.4f %.4f %.4f\n", vertices),
        _text_rows("f %d %d %d\n", mesh.triangles + 1),
    ]


def _textured_obj(mesh: Mesh, texture: Texture, library: str) -> list[Chunk]:
    """OBJ text with texture coordinates, whose v grows upwards."""
    uv = np.stack([texture.uv[:, 0], 1 - texture.uv[:, 1]], axis=1)
    return [
        b"# %s\nmtllib %s\nusemtl photo\n" % (_FRAME.encode(), os.fsencode(library)),
        _text_rows("v %.5f %.5f %.5f\n", mesh.vertices),
        _text_rows("vt %.6f %.6f\n", uv),
        _text_rows("f %d/%d %d/%d %d/%d\n", np.repeat(mesh.triangles + 1, 2, axis=1)),
    ]


def _material(image: str) -> bytes:
    """Unlit: the light is already in the photo. The name of a file is bytes: it is not always UTF-8."""
    return b"newmtl photo\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 0\nmap_Kd %s\n" % os.fsencode(image)


def _text_rows(row: str, values: NDArray[Any]) -> bytes:
    return (row * len(values) % tuple(values.ravel().tolist())).encode()


def _stl_mesh(mesh: Mesh) -> list[Chunk]:
    """Binary STL. The format has no colours: they go, 5 bits a channel, where VisCAM and MeshLab look for them."""
    facets = np.empty(len(mesh.triangles), _STL_FACET)
    facets["corners"] = corners = mesh.vertices[mesh.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    facets["normal"] = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    red, green, blue = mesh.colors[mesh.triangles].mean(axis=1).astype(np.uint16).T >> 3
    facets["color"] = 0x8000 | red << 10 | green << 5 | blue
    return [_FRAME.encode().ljust(80), struct.pack("<I", len(facets)), facets]


def _glb_mesh(mesh: Mesh, texture: Texture | None = None) -> list[Chunk]:
    """Binary glTF 2.0, unlit (the light is already in the photo), with linear colours as the specification requires."""
    if texture is None:
        colors = np.full((len(mesh.colors), 4), 65535, np.uint16)
        colors[:, :3] = np.rint(65535 * linear_light(mesh.colors))
        look, picture = colors.astype("<u2").tobytes(), b""
    else:
        look, picture = texture.uv.astype("<f4").tobytes(), texture.jpeg()
        picture = picture.ljust(-(-len(picture) // 4) * 4, b"\0")
    body = [mesh.vertices.astype("<f4").tobytes(), look, mesh.triangles.astype("<u4").tobytes(), picture]
    text = json.dumps(_gltf(mesh, [len(part) for part in body], texture), separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 4) * 4)
    size = sum(len(part) for part in body)
    head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + size)
    return [head, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", size, b"BIN\0"), *body]


def _gltf(mesh: Mesh, sizes: list[int], texture: Texture | None) -> dict[str, Any]:
    count, low, high = len(mesh.vertices), mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
    starts = np.cumsum([0, *sizes]).tolist()
    targets = (34962, 34962, 34963)  # ARRAY_BUFFER twice, ELEMENT_ARRAY_BUFFER
    views: list[dict[str, int]] = [
        {"buffer": 0, "byteOffset": start, "byteLength": size, "target": target}
        for start, size, target in zip(starts, sizes, targets, strict=False)
    ]
    plain: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": 1}
    look: dict[str, Any] = {"bufferView": 1, "count": count}
    extra: dict[str, Any] = {}
    if texture is None:
        look |= {"componentType": 5123, "type": "VEC4", "normalized": True}
    else:
        look |= {"componentType": 5126, "type": "VEC2"}
        views.append({"buffer": 0, "byteOffset": starts[3], "byteLength": sizes[3]})
        plain["baseColorTexture"] = {"index": 0}
        extra = {
            "textures": [{"source": 0, "sampler": 0}],
            "images": [{"bufferView": 3, "mimeType": "image/jpeg"}],
            "samplers": [{"wrapS": 33071, "wrapT": 33071}],
        }
    attributes = {"POSITION": 0, "COLOR_0" if texture is None else "TEXCOORD_0": 1}
    return {
        "asset": {"version": "2.0", "generator": "mono_depth_recon"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        # Half a turn about x: y up, z towards the viewer.
        "nodes": [{"mesh": 0, "name": "optical_frame", "rotation": [1, 0, 0, 0]}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 2, "material": 0}]}],
        "materials": [{"doubleSided": True, "pbrMetallicRoughness": plain, "extensions": {"KHR_materials_unlit": {}}}],
        "accessors": [  # FLOAT, UNSIGNED_SHORT or FLOAT, UNSIGNED_INT
            {"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3", "min": low, "max": high},
            look,
            {"bufferView": 2, "componentType": 5125, "count": mesh.triangles.size, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
        **extra,
    }


TEXTURED = (".obj", ".glb")
MESH_WRITERS: dict[str, Callable[[Mesh], list[Chunk]]] = {
    ".ply": _ply_mesh,
    ".obj": _obj_mesh,
    ".stl": _stl_mesh,
    ".glb": _glb_mesh,
}
