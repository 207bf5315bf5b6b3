"""Integrates one frame into the voxels of a map: a weighted mean of projective distances and colours.

In two versions: numpy for the CPU, which shares memory with Open3D's tensors, and Open3D's tensors for CUDA devices,
which on the CPU take several times as long. A test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb

BLOCK = 8  # voxels along an edge of a block
MAX_WEIGHT = 64.0  # bounded, so that a place that was seen often still follows a change
NEAREST_M = 0.05
_VOXELS = BLOCK**3


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame prepared for integration.

    `metres` (H, W) depth, 0 where unknown; `weights` (H, W), 0 there too; `rgb` (H, W, 3); `projection` (3, 4) maps
    world points to pixels times depth.
    """

    metres: Depth
    weights: NDArray[np.float32]
    rgb: Rgb
    projection: NDArray[np.float32]


def blend_arrays(grid: Any, blocks: Any, view: FrameView, voxel_size: float, cut: float) -> None:
    """Integrates `view` into `blocks` (B,) int32 buffer indices of `grid`; distances are truncated at `cut` metres."""
    block = blocks.numpy()
    pixel, z, voxel = _projected(grid.hashmap().key_tensor().numpy()[block], view, voxel_size)
    weight = view.weights.ravel()[pixel]
    distance = view.metres.ravel()[pixel] - z
    near = np.flatnonzero((weight > 0) & (distance > -cut))  # voxels behind the surface were not seen
    voxel, pixel, weight, distance = voxel[near], pixel[near], weight[near], distance[near]
    place = block.astype(np.int64)[voxel // _VOXELS] * _VOXELS + voxel % _VOXELS
    held, tsdf, color = (
        grid.attribute(name).numpy().reshape(-1, n).squeeze() for name, n in (("weight", 1), ("tsdf", 1), ("color", 3))
    )
    before = held[place]
    share = weight / (before + weight)
    old = tsdf[place]
    tsdf[place] = old + (np.minimum(distance / np.float32(cut), 1) - old) * share
    held[place] = np.minimum(before + weight, np.float32(MAX_WEIGHT))
    surface = np.flatnonzero(distance < cut)  # free space has no colour
    place, pixel, share = place[surface], pixel[surface], share[surface]
    past = color[place]
    color[place] = past + (view.rgb.reshape(-1, 3)[pixel] - past) * share[:, None]


def _projected(
    keys: NDArray[np.int32],
    view: FrameView,
    voxel_size: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """For voxels of blocks `keys` (B, 3) in the image: pixel (N,), depth (N,), index (N,) in the blocks, x fastest.

    Projection is linear: that of a block's corner plus that of the voxel in it.
    """
    height, width = view.metres.shape
    matrix, offset = view.projection[:, :3].T, view.projection[:, 3]
    step: NDArray[np.float32] = np.indices((BLOCK,) * 3)[::-1].reshape(3, -1).T.astype(np.float32) * np.float32(
        voxel_size
    )
    corner, inside = (keys.astype(np.float32) * np.float32(BLOCK * voxel_size)) @ matrix + offset, step @ matrix
    x, y, z = (corner[:, None, axis] + inside[None, :, axis] for axis in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.reciprocal(z)
        column, row = x * inverse + np.float32(0.5), y * inverse + np.float32(0.5)
        seen = (z > NEAREST_M) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = np.flatnonzero(seen).astype(np.int64, copy=False)
    pixel = row.ravel()[place].astype(np.int64) * width + column.ravel()[place].astype(np.int64)
    return pixel, z.ravel()[place], place


def blend_tensors(grid: Any, blocks: Any, view: FrameView, voxel_size: float, cut: float) -> None:
    """As `blend_arrays`, in Open3D's tensors on the grid's own device."""
    import open3d as o3d

    core, device = o3d.core, blocks.device

    def tensor(array: NDArray[Any]) -> Any:
        return core.Tensor.from_numpy(np.ascontiguousarray(array)).to(device)

    world, flat = grid.voxel_coordinates_and_flattened_indices(blocks)
    height, width = view.metres.shape
    image = world.matmul(tensor(view.projection[:, :3].T)) + tensor(view.projection[:, 3])
    z = image[:, 2]
    column, row = (image[:, axis] / z + 0.5 for axis in range(2))
    seen = (z > NEAREST_M).logical_and(column >= 0).logical_and(column < width)
    seen = seen.logical_and(row >= 0).logical_and(row < height)
    place, z = flat.reshape([-1])[seen], z[seen]
    pixel = row[seen].to(core.int64) * width + column[seen].to(core.int64)
    weight, distance = tensor(view.weights.ravel())[pixel], tensor(view.metres.ravel())[pixel] - z
    near = (weight > 0).logical_and(distance > -cut)
    place, pixel, weight, distance = place[near], pixel[near], weight[near], distance[near]
    held, tsdf, color = (
        grid.attribute(name).reshape(shape) for name, shape in (("weight", (-1,)), ("tsdf", (-1,)), ("color", (-1, 3)))
    )
    before = held[place]
    share = weight / (before + weight)
    old = tsdf[place]
    tsdf[place] = old + ((distance / cut).clip(-1.0, 1.0) - old) * share
    held[place] = (before + weight).clip(0.0, MAX_WEIGHT)
    surface = distance < cut
    place, pixel, share = place[surface], pixel[surface], share[surface]
    photo = tensor(view.rgb.reshape(-1, 3)).to(core.float32)[pixel]
    past = color[place]
    color[place] = past + (photo - past) * share.reshape((-1, 1))
