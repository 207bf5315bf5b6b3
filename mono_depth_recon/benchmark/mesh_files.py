"""Time and memory to write mesh files, compared with trimesh if it is installed."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..errors import DataError
from ..mesh.files import write_mesh
from ..mesh.mesh import Mesh
from ..mesh.texture import Texture
from .frame_path import Measurement, Settings
from .machine import fresh_process, peak_bytes
from .rows import Row

_SIDE = 548  # 300,304 vertices, 598,418 triangles
_CASES = (("ply", False), ("obj", True), ("glb", False), ("glb", True), ("stl", False))
_REPEATS = 3
_CODE = "import sys; from mono_depth_recon.benchmark.mesh_files import write_one; print(write_one(*sys.argv[1:]))"


def mesh_files(_: Settings, side: int = _SIDE) -> Iterator[Row]:
    """Seconds and memory of each format for a mesh of side x side vertices, written in fresh processes.

    If trimesh is installed, each file is first read back by it; then its writer is measured too, with the ratio.
    """
    beside = importlib.util.find_spec("trimesh") is not None
    for suffix, textured in _CASES:
        name = f"mesh file: {suffix}{', textured' if textured else ''}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"mesh.{suffix}"
            measure = partial(_measured, path, side, textured)
            seconds, megabytes = measure("ours")
            if beside:
                _check(path, side)
            size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
            yield Row(name, seconds, "s", note=f"{size:.1f} MB, peak memory {megabytes:.0f} MB")
            if beside:
                theirs, memory = measure("trimesh")
                note = f"trimesh {theirs:.3g} s, peak memory {memory:.0f} MB"
                yield Row(f"{name} / trimesh", seconds / theirs, "x", note=note)


def _measured(path: Path, side: int, textured: bool, writer: str) -> tuple[float, float]:
    """Median seconds of writing `path`, and peak megabytes of the writing process."""
    arguments = (writer, str(path), str(side), "texture" if textured else "")
    measured = [json.loads(fresh_process(_CODE, *arguments, timeout_s=600)) for _ in range(_REPEATS)]
    return median(each["seconds"] for each in measured), median(each["bytes"] for each in measured) / 1e6


def _check(path: Path, side: int) -> None:
    """Raises DataError if trimesh reads other triangles or corners than were written."""
    import trimesh

    mesh, back = made_mesh(side)[0], trimesh.load_mesh(path, process=False)
    turned = np.array([1, -1, -1]) if path.suffix == ".glb" else 1  # by the rotation of its node
    same = back.triangles.shape == (len(mesh.triangles), 3, 3)
    if not same or np.abs(back.triangles * turned - mesh.vertices[mesh.triangles]).max() > 1e-5:
        raise DataError(f"{path.name} read back by trimesh is not the mesh that was written")


def write_one(writer: str, path: str, side: str, texture: str) -> str:
    """Writes the mesh once; returns seconds and peak bytes of the process as JSON."""
    mesh, picture = made_mesh(int(side))
    write = partial(_write_trimesh, _trimesh()) if writer == "trimesh" else write_mesh
    start = time.perf_counter()
    write(mesh, Path(path), picture if texture else None)
    return json.dumps({"seconds": time.perf_counter() - start, "bytes": peak_bytes()})


def made_mesh(side: int) -> tuple[Mesh, Texture]:
    """A waved sheet of side x side vertices in random colours, and a noisy image of 640x480 over it."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:side, :side].astype(np.float32)
    place = [(u - side / 2) / side, (v - side / 2) / side, 2 + np.float32(0.3) * np.sin(u / 40) * np.cos(v / 55)]
    corner = np.arange(side**2, dtype=np.int32).reshape(side, side)
    a, right, down, far = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    halves = [np.stack(corners, axis=-1).reshape(-1, 3) for corners in ((a, down, right), (right, down, far))]
    colors = rng.integers(0, 256, (side**2, 3)).astype(np.uint8)
    shade = np.add.outer(np.arange(480), np.arange(640))[..., None] * np.array([0.2, 0.15, 0.1])
    image = np.clip(shade + rng.normal(0, 4, (480, 640, 3)), 0, 255).astype(np.uint8)
    uv = (np.stack([u, v], axis=-1).reshape(-1, 2) / (side - 1)).astype(np.float32)
    return Mesh(np.stack(place, axis=-1).reshape(-1, 3), np.concatenate(halves), colors), Texture(image, uv)


def _trimesh() -> Any:
    import PIL.Image
    import trimesh
    import trimesh.visual.texture

    PIL.Image.init()  # loads plugins before timing
    return trimesh


def _write_trimesh(trimesh: Any, mesh: Mesh, path: Path, texture: Texture | None) -> None:
    """The same mesh by trimesh, in a scene with the same rotation for GLB."""
    if texture is None:
        made = trimesh.Trimesh(mesh.vertices, mesh.triangles, vertex_colors=mesh.colors, process=False)
    else:
        import PIL.Image

        image, uv = PIL.Image.fromarray(texture.image), np.stack([texture.uv[:, 0], 1 - texture.uv[:, 1]], axis=1)
        visual = trimesh.visual.TextureVisuals(uv=uv, image=image)
        made = trimesh.Trimesh(mesh.vertices, mesh.triangles, visual=visual, process=False)
    if path.suffix == ".glb":
        scene = trimesh.Scene()
        scene.add_geometry(made, transform=np.diag([1.0, -1.0, -1.0, 1.0]))
        scene.export(str(path))
    else:
        made.export(str(path))


MEASUREMENTS: dict[str, Measurement] = {"mesh-files": mesh_files}
