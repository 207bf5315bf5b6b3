"""The demo's pictures: cloud and mesh from two views, and one page of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Rgb
from ...cloud.cloud import Cloud
from ...mesh.mesh import Mesh
from ...photo import read_depth, read_photo
from ...pictures.panels import Panel, depth_limits, overview, write_png
from ...pictures.views import VIEWS, view_cloud, view_mesh


def write_pictures(folder: Path, title: str, attribution: str, mesh_note: str) -> None:
    """Draws cloud.ply and mesh.ply of `folder` into it, and overview.png of these, rgb.png and depth.png.

    Raises DataError where one of the files is missing or broken.
    """
    cloud, mesh = _read_cloud(folder / "cloud.ply"), _read_mesh(folder / "mesh.ply")
    clouds = [Panel(view_cloud(cloud, view), "Point cloud", view.name) for view in VIEWS]
    meshes = [Panel(view_mesh(mesh, view), "Mesh", f"{view.name}, {mesh_note}") for view in VIEWS]
    for name, panels in (("cloud", clouds), ("mesh", meshes)):
        for number, panel in enumerate(panels, 1):
            write_png(folder / f"{name}_view_{number}.png", panel.image)
    depth = read_depth(folder / "depth.png")
    near, far = depth_limits(depth)
    page = overview(
        read_photo(folder / "rgb.png"), depth, clouds, meshes, title, f"metres, {near:.1f} to {far:.1f}", attribution
    )
    write_png(folder / "overview.png", page)


def _read_cloud(path: Path) -> Cloud:
    import open3d as o3d

    cloud = o3d.io.read_point_cloud(str(path))
    return Cloud(np.asarray(cloud.points, np.float32), _bytes(cloud.colors))


def _read_mesh(path: Path) -> Mesh:
    import open3d as o3d

    mesh = o3d.io.read_triangle_mesh(str(path))
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.triangles, np.int32), _bytes(mesh.vertex_colors))


def _bytes(colors: Any) -> Rgb:
    return np.rint(np.asarray(colors) * 255).astype(np.uint8)
