"""The benchmark of mesh files: every format, compared with trimesh after checking the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono_depth_recon.benchmark.frame_path import Settings
from mono_depth_recon.benchmark.mesh_files import _check, made_mesh, mesh_files, write_one
from mono_depth_recon.errors import DataError
from mono_depth_recon.mesh.files import write_mesh
from mono_depth_recon.mesh.mesh import Mesh


def test_every_format_has_a_figure_and_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mono_depth_recon.benchmark.mesh_files._REPEATS", 1)
    monkeypatch.setattr("mono_depth_recon.benchmark.mesh_files._CASES", (("glb", True), ("stl", False)))
    rows = list(mesh_files(Settings(), side=12))
    assert [row.name for row in rows] == [
        "mesh file: glb, textured",
        "mesh file: glb, textured / trimesh",
        "mesh file: stl",
        "mesh file: stl / trimesh",
    ]
    assert all(row.value and row.value > 0 for row in rows) and "peak memory" in rows[0].note


def test_a_file_that_is_another_mesh_is_not_timed(tmp_path: Path) -> None:
    mesh, _ = made_mesh(12)
    for suffix in ("ply", "glb"):
        write_one("ours", str(tmp_path / f"m.{suffix}"), "12", "")
        _check(tmp_path / f"m.{suffix}", 12)
        write_mesh(Mesh(mesh.vertices * [1, 1, 1.01], mesh.triangles, mesh.colors), tmp_path / f"m.{suffix}")
        with pytest.raises(DataError, match="is not the mesh that was written"):
            _check(tmp_path / f"m.{suffix}", 12)
