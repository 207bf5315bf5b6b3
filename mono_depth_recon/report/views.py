"""Clouds and meshes of one frame for all models from the same viewpoints, and the data of the page's 3D viewer."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..cloud.back_projection import back_project
from ..cloud.cloud import cloud_from_organised
from ..errors import DataError
from ..filters import drop, flying_pixels
from ..mesh.grid import mesh_grid
from ..pictures.views import VIEWS, view_cloud, view_mesh
from .frames import ShownFrame

TRUTH = "truth"
_EDGE = 0.08  # relative step of inverse depth at which a surface ends
_MESH_STEP = 0.05
_DRAWN_STRIDE = 3
_SIZE = (400, 300)
_GRID_PIXELS = 60_000  # of one depth map in the page: 160 kB of base64
_PAGE_BYTES = 4_000_000  # of all of them
_LEVELS = 65535


@dataclass(frozen=True)
class SceneViews:
    """Images of one frame: (model, 'cloud' or 'mesh', name of the view) -> (H, W, 3); reasons for missing ones."""

    pictures: dict[tuple[str, str, str], Rgb]
    missing: dict[str, str]


def draw_views(frame: ShownFrame) -> SceneViews:
    """Cloud and mesh of the true depth and of every model, seen from viewpoints fitted to the true one."""
    pictures: dict[tuple[str, str, str], Rgb] = {}
    missing = dict(frame.missing)
    scene = None
    for name, depth in {TRUTH: frame.truth, **frame.depths}.items():
        try:
            points = back_project(
                _surface(name, depth, frame.max_range), frame.sample.camera, frame.sample.rgb, _DRAWN_STRIDE
            )
            cloud, mesh = cloud_from_organised(points), mesh_grid(points, _MESH_STEP * _DRAWN_STRIDE)
        except DataError as error:
            missing[name] = str(error)
            continue
        scene = cloud.points if scene is None else scene
        for view in VIEWS:
            pictures[name, "cloud", view.name] = view_cloud(cloud, view, _SIZE, scene)
            pictures[name, "mesh", view.name] = view_mesh(mesh, view, _SIZE, scene=scene)
    return SceneViews(pictures, missing)


def _surface(name: str, depth: Depth, max_range: float) -> Depth:
    """Depth within the range; a model's without flying pixels at edges, where measured depth has holes."""
    kept = np.where((depth > 0) & (depth <= max_range), depth, np.float32(np.nan)).astype(np.float32)
    if name != TRUTH:
        drop(kept, flying_pixels(kept, _EDGE))
    return kept


def viewer_scene(frame: ShownFrame, names: Mapping[str, str], scenes: int = 1) -> dict[str, Any]:
    """Data of the page's 3D viewer: a grid of quantised depth for the truth and every model, and the camera.

    Depth is uint16, little-endian, base64: metres = value * step, 0 unknown. `scenes` share the size limit of a page.
    """
    depths = {TRUTH: frame.truth, **frame.depths}
    camera, stride = frame.sample.camera, _stride(frame.truth.shape, len(depths) * scenes)
    known = frame.truth[np.isfinite(frame.truth)]
    middle, reach = float(np.median(known)) if known.size else 1.0, frame.max_range
    return {
        "stride": stride,
        "step": reach / _LEVELS,
        "middle": round(middle, 3),
        "width": -(-frame.truth.shape[1] // stride),
        "height": -(-frame.truth.shape[0] // stride),
        **_intrinsics(camera),
        "depths": [
            {
                "name": names.get(name, "Truth"),
                "data": _quantised(_surface(name, depth, reach)[::stride, ::stride], reach),
            }
            for name, depth in depths.items()
        ],
    }


def _intrinsics(camera: PinholeCamera) -> dict[str, float]:
    return {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}


def _stride(shape: tuple[int, ...], maps: int) -> int:
    most = min(_GRID_PIXELS, _PAGE_BYTES * 3 // 4 // 2 // maps)
    stride = 1
    while -(-shape[0] // stride) * -(-shape[1] // stride) > most:
        stride += 1
    return stride


def _quantised(depth: Depth, max_range: float) -> str:
    level = np.nan_to_num(np.rint(depth / max_range * _LEVELS), nan=0.0).clip(0, _LEVELS)
    return base64.b64encode(level.astype("<u2").tobytes()).decode("ascii")
