"""A map of many frames: truncated signed distances in sparse voxel blocks (Curless and Levoy, SIGGRAPH 1996).

Blocks are stored in Open3D's VoxelBlockGrid, on the CPU or a CUDA device. Frames are integrated here, because Open3D's
own kernel takes no weights per pixel; rendering and extraction are Open3D's. The number of blocks is bounded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Matrix, Rgb
from ..camera import PinholeCamera
from ..cloud.cloud import Cloud
from ..errors import ConfigError, DataError
from ..mesh.mesh import Mesh, with_triangles
from .integration import BLOCK, NEAREST_M, FrameView, blend_arrays, blend_tensors
from .lookup import KEY_LIMIT, signed_distance
from .map_file import CHANNELS, StoredMap, read_map, write_map

_RAY_CELL = 8  # pixels
_SLACK = 0.05  # of the capacity: this many more blocks are evicted together, because finding them takes time


class TsdfMap:
    """Signed distances, weights and colours of a scene in world axes, metres.

    `voxel_size` is in metres; distances are truncated at `truncation` voxels; there are at most `max_blocks` blocks of
    8x8x8 voxels (10 KB each). `device` is auto (CUDA where Open3D has it), cpu or cuda. Raises ConfigError for a device
    that is missing.
    """

    def __init__(
        self,
        voxel_size: float,
        truncation: float = 4.0,
        max_blocks: int = 20000,
        device: str = "auto",
    ) -> None:
        import open3d as o3d

        self.voxel_size, self.truncation, self.max_blocks = voxel_size, truncation, max_blocks
        self._core, self._t = o3d.core, o3d.t
        self._quiet = lambda: o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error)
        self._device = _device(device)
        self.reset()

    def reset(self) -> None:
        """Empties the map."""
        f32 = self._core.float32
        self._grid = self._t.geometry.VoxelBlockGrid(
            tuple(CHANNELS),
            (f32,) * len(CHANNELS),
            tuple((n,) for n in CHANNELS.values()),
            self.voxel_size,
            BLOCK,
            self.max_blocks,
            self._device,
        )
        self._seen = np.zeros(self._grid.hashmap().capacity(), np.int64)  # frame number, by buffer index
        self.frames, self.evicted = 0, 0

    @property
    def blocks(self) -> int:
        """Blocks in the map."""
        return int(self._grid.hashmap().size())

    @property
    def reach_m(self) -> float:
        """How far from the origin a surface may lie: in float32 it is within an eighth of a voxel there.

        Map projections (UTM) and earth-centred coordinates lie far beyond.
        """
        return min(self.voxel_size * 2.0**21, self.voxel_size * BLOCK * KEY_LIMIT)

    @property
    def device(self) -> str:
        """Where the blocks are stored: CPU:0, CUDA:0."""
        return str(self._device)

    def integrate(
        self,
        depth: Depth,
        rgb: Rgb,
        camera: PinholeCamera,
        T_world_camera: Matrix,
        weight: NDArray[np.float32] | None = None,
        depth_max: float = 5.0,
    ) -> int:
        """Integrates a frame and returns the number of blocks it touched (0: no depth within `depth_max`).

        `depth` (H, W) metres, not finite where unknown; `rgb` (H, W, 3); `weight` (H, W) of every pixel, 1 where not
        given; 0 leaves a pixel out. `camera` is rectified. From a full map the blocks seen longest ago are evicted, of
        equal age the farthest.
        """
        known = np.isfinite(depth) & (depth > 0) & (depth <= depth_max)
        if weight is not None:
            known &= weight > 0
        if not known.any():
            return 0
        metres = np.where(known, depth, np.float32(0))
        touched = self._touched(metres, camera, T_world_camera, depth_max)
        if not len(touched):
            return 0
        self.frames += 1
        blocks = self._claimed(touched, T_world_camera[:3, 3])
        weights = known.astype(np.float32) if weight is None else np.where(known, weight, 0).astype(np.float32)
        self._blend(blocks, metres, weights, rgb, camera, T_world_camera)
        return len(blocks)

    def render(
        self,
        camera: PinholeCamera,
        T_world_camera: Matrix,
        depth_max: float = 5.0,
        min_weight: float = 0.5,
    ) -> Depth:
        """Depth (H, W) metres of the map's surface as `camera` (rectified) sees it, NaN where there is none."""
        if not self.blocks:
            return np.full((camera.height, camera.width), np.nan, np.float32)
        hashmap = self._grid.hashmap()
        keys = hashmap.key_tensor()[hashmap.active_buf_indices().to(self._core.int64)]
        # Open3D bounds the rays on a grid of 8 pixels: for a last row that does not fill a cell it reads beyond the
        # grid and casts unbounded rays.
        width, height = (-(-side // _RAY_CELL) * _RAY_CELL for side in camera.size)
        with self._quiet():
            # Twice: if its buffer of fragments is too small, the first call leaves holes, then enlarges the buffer.
            for _ in range(2):
                answer = self._grid.ray_cast(
                    keys,
                    *self._pose(camera, T_world_camera),
                    width,
                    height,
                    ["depth"],
                    1.0,
                    NEAREST_M,
                    depth_max,
                    min_weight,
                    self.truncation,
                )
        depth = np.asarray(answer["depth"].cpu().numpy()[: camera.height, : camera.width, 0], np.float32)
        return self._refined(np.where(depth > 0, depth, np.float32(np.nan)), camera, T_world_camera)

    def mesh(self, min_weight: float = 0.5) -> Mesh:
        """The surface (marching cubes), where weights reach `min_weight`. Raises DataError for an empty map."""
        self._refuse_empty()
        surface = self._grid.extract_triangle_mesh(min_weight).cpu()
        if not len(surface.triangle.indices):
            raise DataError(_no_surface(min_weight))
        mesh = Mesh(
            surface.vertex.positions.numpy(),
            surface.triangle.indices.numpy().astype(np.int32),
            _bytes(surface.vertex.colors.numpy()),
        )
        return _welded(mesh)

    def cloud(self, min_weight: float = 0.5) -> Cloud:
        """Points of the surface, about a voxel apart, where weights reach `min_weight`. Raises DataError for none."""
        self._refuse_empty()
        points = self._grid.extract_point_cloud(min_weight).cpu()
        if not len(points.point.positions):
            raise DataError(_no_surface(min_weight))
        return Cloud(points.point.positions.numpy(), _bytes(points.point.colors.numpy()))

    def save(self, path: Path) -> None:
        """Writes the map (.npz), whole or not at all. Raises DataError for an empty map and as `write_map`."""
        self._refuse_empty()
        active = self._grid.hashmap().active_buf_indices().cpu().numpy().astype(np.int64)
        stored = StoredMap(
            self.voxel_size,
            self.truncation,
            self.frames,
            self._grid.hashmap().key_tensor().cpu().numpy()[active],
            self._seen[active],
            *(self._values(name)[active] for name in CHANNELS),
        )
        write_map(path, stored)

    @classmethod
    def load(cls, path: Path, max_blocks: int = 20000, device: str = "auto") -> TsdfMap:
        """The map that `save` wrote. Raises DataError where `read_map` does."""
        stored = read_map(path, max_blocks)
        loaded = cls(stored.voxel_size, stored.truncation, max_blocks, device)
        loaded.frames = stored.frames
        loaded._fill(stored)
        return loaded

    def _fill(self, stored: StoredMap) -> None:
        buffers, _ = self._grid.hashmap().activate(self._tensor(stored.keys))
        index = buffers.to(self._core.int64)
        for name in CHANNELS:
            self._grid.attribute(name)[index] = self._tensor(getattr(stored, name))
        self._seen[buffers.cpu().numpy()] = stored.seen

    def _refined(self, depth: Depth, camera: PinholeCamera, T: Matrix) -> Depth:
        """Rendered depth refined to the surface between the voxels; NaN where that is not known."""
        known = np.isfinite(depth)
        x, y = camera.rays
        rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)[known]
        points = (rays * depth[known][:, None]) @ T[:3, :3].T + T[:3, 3]
        moved = depth.copy()
        moved[known] += signed_distance(self._grid, points, self.voxel_size, self.truncation * self.voxel_size)
        return moved

    def _touched(self, metres: Depth, camera: PinholeCamera, T: Matrix, depth_max: float) -> NDArray[np.int32]:
        """(B, 3) coordinates of the blocks within the truncation of a surface."""
        image = self._t.geometry.Image(self._tensor(metres))
        found = self._grid.compute_unique_block_coordinates(
            image, *self._pose(camera, T), 1.0, depth_max, self.truncation
        )
        return np.asarray(found.cpu().numpy())

    def _claimed(self, keys: NDArray[np.int32], eye: NDArray[np.float64]) -> Any:
        """Buffer indices (B,) int32 of blocks, new ones empty; where the map is full others are evicted."""
        if len(keys) > self.max_blocks:  # this frame alone: its nearest blocks
            keys = keys[np.argsort(self._distances(keys, eye), kind="stable")[: self.max_blocks]]
        hashmap = self._grid.hashmap()
        wanted = self._tensor(keys)
        old, is_old = hashmap.find(wanted)
        self._seen[old[is_old].cpu().numpy()] = self.frames
        missing = wanted[is_old.logical_not()]
        self._make_room(len(missing), eye)
        if len(missing):  # `activate` counts present keys as new, and would grow the buffers
            fresh, _ = hashmap.activate(missing)
            self._clear(fresh.to(self._core.int64))
        buffers, _ = hashmap.find(wanted)
        self._seen[buffers.cpu().numpy()] = self.frames
        return buffers

    def _clear(self, buffers: Any) -> None:
        for name, channels in CHANNELS.items():  # an evicted block leaves its content in the buffer
            zeros = self._core.Tensor.zeros(
                (len(buffers), BLOCK, BLOCK, BLOCK, channels), self._core.float32, self._device
            )
            self._grid.attribute(name)[buffers] = zeros

    def _make_room(self, needed: int, eye: NDArray[np.float64]) -> None:
        hashmap = self._grid.hashmap()
        excess = hashmap.size() + needed - self.max_blocks
        if excess <= 0:
            return
        active = hashmap.active_buf_indices().cpu().numpy()
        keys = hashmap.key_tensor().cpu().numpy()[active]
        order = np.lexsort((-self._distances(keys, eye), self._seen[active]))
        spare = int((self._seen[active] < self.frames).sum())  # never the blocks of this frame
        leaving = order[: min(excess + int(_SLACK * self.max_blocks), spare)]
        hashmap.erase(self._tensor(keys[leaving]))
        self.evicted += len(leaving)

    def _distances(self, keys: NDArray[np.int32], eye: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm((keys + 0.5) * (BLOCK * self.voxel_size) - eye, axis=1)

    def _blend(
        self, blocks: Any, metres: Depth, weights: NDArray[np.float32], rgb: Rgb, camera: PinholeCamera, T: Matrix
    ) -> None:
        view = FrameView(metres, weights, rgb, (camera.K @ np.linalg.inv(T)[:3]).astype(np.float32))
        cut = self.truncation * self.voxel_size
        if self._device.get_type() == self._core.Device.DeviceType.CUDA:
            blend_tensors(self._grid, blocks, view, self.voxel_size, cut)
        else:
            blend_arrays(self._grid, blocks, view, self.voxel_size, cut)

    def _pose(self, camera: PinholeCamera, T: Matrix) -> tuple[Any, Any]:
        """Intrinsic and extrinsic matrix for Open3D, which expects them on the CPU."""
        return self._core.Tensor(camera.K), self._core.Tensor(np.ascontiguousarray(np.linalg.inv(T)))

    def _values(self, name: str) -> NDArray[np.float32]:
        return np.asarray(self._grid.attribute(name).cpu().numpy())

    def _tensor(self, array: NDArray[Any]) -> Any:
        return self._core.Tensor.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _refuse_empty(self) -> None:
        if not self.blocks:
            raise DataError(
                "expected a map with surfaces, it is empty: no frame has been fused since the start or the "
                "last reset; check that poses and depth arrive"
            )


def _device(name: str) -> Any:
    import open3d as o3d

    has_cuda = bool(o3d.core.cuda.is_available())
    if name == "cuda" and not has_cuda:
        raise ConfigError(
            "fusion.device=cuda needs a CUDA device and an Open3D that was built for it, there is none: use auto or cpu"
        )
    return o3d.core.Device("CUDA:0" if has_cuda and name != "cpu" else "CPU:0")


def _no_surface(min_weight: float) -> str:
    return (
        f"expected a surface, no voxel of the map reaches the weight {min_weight:g}: lower fusion.min_weight or "
        "fuse more frames"
    )


def _bytes(colors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours 0 to 1, as Open3D returns them for the 0 to 255 integrated here, as bytes."""
    return np.rint(np.clip(colors * 255.0, 0, 255)).astype(np.uint8)


def _welded(mesh: Mesh) -> Mesh:
    """Without degenerate triangles and unused vertices."""
    a, b, c = mesh.triangles.T
    return with_triangles(mesh, mesh.triangles[(a != b) & (b != c) & (c != a)])
