"""The distance to the surface at any point of a map, between its voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integration import BLOCK

_BITS = 20  # of a block's coordinate in a packed key: maps of 10^6 blocks along an axis
KEY_LIMIT = (1 << (_BITS - 1)) - 2  # of a block's coordinate, so that its neighbours can be packed too


def signed_distance(grid: Any, points: NDArray[np.floating], voxel_size: float, cut: float) -> NDArray[np.float32]:
    """(N,) metres, positive in front of the surface, at world points (N, 3): trilinear, NaN beside unseen voxels.

    Open3D's ray casting reads only the nearest voxel: its depth is off by up to half a voxel, always to the same side
    where a wall is parallel to the voxels. One step by this distance removes that error.
    """
    if not len(points):  # Open3D needs at least one key
        return np.empty(0, np.float32)
    place = points.astype(np.float64) / voxel_size
    base = np.floor(place).astype(np.int64)
    share = place - base
    corners = np.stack([c.ravel() for c in np.indices((2, 2, 2))], axis=1)  # (8, 3)
    voxel = base[:, None] + corners
    found, known = _buffers(grid, voxel // BLOCK)
    x, y, z = np.moveaxis(voxel % BLOCK, -1, 0)
    flat = ((found * BLOCK + z) * BLOCK + y) * BLOCK + x
    tsdf, weight = (grid.attribute(name).cpu().numpy().ravel()[flat] for name in ("tsdf", "weight"))
    factor = np.where(corners == 1, share[:, None], 1 - share[:, None]).prod(axis=-1)
    seen = (known & (weight > 0)).all(axis=1)
    return np.where(seen, (tsdf * factor).sum(axis=1) * cut, np.nan).astype(np.float32)


def _buffers(grid: Any, blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Buffer index (N, 8) of block coordinates (N, 8, 3), and whether the map has them."""
    import open3d as o3d

    shifted = blocks + (1 << (_BITS - 1))
    packed = (shifted[..., 0] << 2 * _BITS) | (shifted[..., 1] << _BITS) | shifted[..., 2]
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    keys = np.ascontiguousarray(blocks.reshape(-1, 3)[first].astype(np.int32))
    index, known = grid.hashmap().find(o3d.core.Tensor.from_numpy(keys).to(grid.hashmap().device))
    buffers = np.where(known.cpu().numpy(), index.cpu().numpy(), 0).astype(np.int64)
    inverse = inverse.reshape(packed.shape)
    return buffers[inverse], known.cpu().numpy()[inverse]
