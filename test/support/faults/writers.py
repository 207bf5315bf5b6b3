"""What the package writes, over and over, and how a file is known to be whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Writer:
    """A kind of file.

    `prepare(folder)` imports and makes what is needed and returns `write(version)`, which replaces the files in
    `folder` by those of another version; `check(folder)` raises unless every file there is whole.
    """

    name: str
    prepare: Callable[[Path], Callable[[int], object]]
    check: Callable[[Path], None]


def _same(values: NDArray[Any]) -> None:
    """Raises AssertionError unless there are values, all of one version."""
    assert values.size and (values == values.flat[0]).all(), "parts of two versions"


def _mesh(suffix: str, textured: bool = False) -> Callable[[Path], Callable[[int], object]]:
    def prepare(folder: Path) -> Callable[[int], object]:
        from mono_depth_recon.mesh.files import write_mesh
        from mono_depth_recon.mesh.mesh import Mesh
        from mono_depth_recon.mesh.texture import Texture

        count = 4000 if textured else 30000
        triangles = np.arange(count, dtype=np.int32).reshape(-1, 2)[:, [0, 1, 1]]
        triangles[:, 2] = (triangles[:, 2] + 1) % count
        picture = np.zeros((128, 128, 3), np.uint8)
        texture = Texture(picture, np.zeros((count, 2), np.float32)) if textured else None

        def write(version: int) -> None:
            vertices = np.full((count, 3), version % 1000, np.float32)
            write_mesh(Mesh(vertices, triangles, np.zeros((count, 3), np.uint8)), folder / f"mesh.{suffix}", texture)

        return write

    return prepare


def _check_mesh(folder: Path) -> None:
    import cv2
    import trimesh

    (file,) = (each for each in folder.glob("mesh.*") if each.suffix in (".ply", ".glb", ".obj"))
    if file.suffix == ".obj":
        _check_obj(file)
        assert cv2.imread(str(file.with_suffix(".jpg"))).shape == (128, 128, 3)
        assert "map_Kd mesh.jpg" in file.with_suffix(".mtl").read_text()
        return
    mesh: Any = trimesh.load(file, process=False, force="mesh")
    assert len(mesh.vertices) == 30000 and len(mesh.faces) == 15000
    _same(np.round(np.abs(mesh.vertices), 3))  # turned upright in GLB


def _check_obj(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert sum(line.startswith("f ") for line in lines) == 2000 and "mtllib mesh.mtl" in lines
    _same(np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float))


def _map(folder: Path) -> Callable[[int], object]:
    from mono_depth_recon.fusion.map_file import StoredMap, write_map

    count = 100
    keys = np.stack([np.arange(count), *[np.zeros(count, int)] * 2], axis=1).astype(np.int32)

    def write(version: int) -> None:
        planes = {name: np.full((count, 8, 8, 8, n), version % 100 / 100, np.float32)
                  for name, n in (("tsdf", 1), ("weight", 1), ("color", 3))}  # fmt: skip
        write_map(folder / "map.npz", StoredMap(0.02, 4.0, 3, keys, np.ones(count, np.int64), **planes))

    return write


def _check_map(folder: Path) -> None:
    from mono_depth_recon.fusion.map_file import read_map

    stored = read_map(folder / "map.npz", 1000)
    for plane in (stored.tsdf, stored.weight, stored.color):
        _same(plane)


def _checkpoint(folder: Path) -> Callable[[int], object]:
    import torch

    from training.checkpoints import AtomicFiles

    torch.set_num_threads(1)
    files = AtomicFiles()
    return lambda version: files.save_checkpoint(
        {"weights": {"a": torch.full((500_000,), float(version)), "b": torch.full((10,), float(version))}},
        folder / "last.ckpt",
    )


def _check_checkpoint(folder: Path) -> None:
    from training.checkpoints import weights_of

    weights = weights_of(folder / "last.ckpt")
    _same(np.concatenate([each.numpy() for each in weights.values()]))


def _prediction(folder: Path) -> Callable[[int], object]:
    from mono_depth_recon.evaluation.predictions import write_prediction
    from mono_depth_recon.frames import Prediction

    return lambda version: write_prediction(
        folder / "frame.npz", Prediction(np.full((240, 320), 1 + version % 1000, np.float32))
    )


def _check_prediction(folder: Path) -> None:
    from mono_depth_recon.evaluation.predictions import read_prediction

    _same(read_prediction(folder / "frame.npz").values)


def _report(folder: Path) -> Callable[[int], object]:
    from made_results import write_results_folder

    from mono_depth_recon.report.page import write_report

    write_results_folder(folder)
    results = folder / "results" / "made"
    return lambda version: write_report(results)


def _check_report(folder: Path) -> None:
    results = folder / "results" / "made"
    page = (results / "report.html").read_text()
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    for picture in (results / "pictures").glob("**/*.*"):
        assert _decodes(picture), picture


def _decodes(picture: Path) -> bool:
    import cv2

    return cv2.imread(str(picture)) is not None


WRITERS = (
    Writer("mesh, PLY", _mesh("ply"), _check_mesh),
    Writer("mesh, GLB", _mesh("glb"), _check_mesh),
    Writer("mesh, OBJ with texture", _mesh("obj", textured=True), _check_mesh),
    Writer("map", _map, _check_map),
    Writer("checkpoint", _checkpoint, _check_checkpoint),
    Writer("kept prediction", _prediction, _check_prediction),
    Writer("report", _report, _check_report),
)
