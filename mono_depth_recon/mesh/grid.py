"""The mesh of an organised cloud: neighbouring pixels become neighbouring vertices."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..arrays import Mask, Points
from ..cloud.back_projection import unpack_rgb
from ..cloud.cloud import known_points, no_depth
from ..errors import DataError
from .mesh import Mesh


def mesh_grid(points: Points, edge_ratio: float) -> Mesh:
    """Triangulates an organised cloud (H, W, 4): neighbouring pixels become neighbouring vertices.

    A triangle is cut where its depths differ by more than `edge_ratio` of the nearest, or where a corner
    is missing. Each quad is split along the diagonal of the smaller depth step. Raises DataError where no triangle
    is left.
    """
    depth = np.where(known_points(points), points[..., 2], np.float32(np.nan))
    triangles = _grid_triangles(depth, edge_ratio)
    if not len(triangles):
        raise DataError(_why_no_grid(depth))
    used = np.zeros(depth.size, np.bool_)
    used[triangles] = True
    renumbered = (np.cumsum(used, dtype=np.int32) - 1)[triangles]
    kept = points.reshape(-1, 4)[used]
    return Mesh(np.ascontiguousarray(kept[:, :3]), renumbered, np.ascontiguousarray(unpack_rgb(kept[:, 3])))


def _grid_triangles(depth: NDArray[np.float32], edge_ratio: float) -> NDArray[np.int32]:
    height, width = depth.shape
    corner = np.arange(height * width, dtype=np.int32).reshape(height, width)
    a, right, down, far = (
        (slice(None, -1), slice(None, -1)),
        (slice(None, -1), slice(1, None)),
        (slice(1, None), slice(None, -1)),
        (slice(1, None), slice(1, None)),
    )
    # Infinite steps where a corner is missing: then the other diagonal leaves one whole triangle.
    across = np.nan_to_num(np.abs(depth[down] - depth[right]), nan=np.inf)
    along = np.nan_to_num(np.abs(depth[a] - depth[far]), nan=np.inf)
    split_across = across <= along
    halves = (
        (split_across, (a, down, right)),
        (split_across, (right, down, far)),
        (~split_across, (a, down, far)),
        (~split_across, (a, far, right)),
    )
    found = []
    for chosen, corners in halves:
        keep = chosen & _connected(edge_ratio, *(depth[c] for c in corners))
        found.append(np.stack([corner[c][keep] for c in corners], axis=-1))
    return np.concatenate(found)


def _why_no_grid(depth: NDArray[np.float32]) -> str:
    """Why a depth map (H, W) gives no triangle, and what to do."""
    height, width = depth.shape
    if not np.isfinite(depth).any():
        return no_depth(depth.size)
    if min(height, width) < 2:
        return f"expected a cloud of 2x2 points at least, got {width}x{height}: lower cloud.stride or use larger images"
    if not len(_grid_triangles(depth, np.inf)):
        return (
            f"expected neighbouring pixels with depth, the {np.isfinite(depth).sum()} with depth lie apart: "
            "use mesh.method poisson"
        )
    return "expected neighbouring pixels of similar depth, every triangle crosses a depth edge: raise mesh.edge_ratio"


def _connected(edge_ratio: float, *corner_depths: NDArray[np.float32]) -> Mask:
    nearest, farthest = reduce(np.minimum, corner_depths), reduce(np.maximum, corner_depths)
    return farthest - nearest <= np.float32(edge_ratio) * nearest
