"""Synthetic rooms: colour, exact depth and pose of a camera that moves through a procedural room.

Everything follows from the seed, to the byte. A room is joined and lit once (some seconds), after that a
frame costs one ray per pixel and some more at edges. The world is z-up, in metres; a corner of the floor is its origin.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import Depth, Mask, Matrix, Rgb
from ...camera import PinholeCamera
from ...errors import CalibrationError, ConfigError
from ...frames import Sample
from ..dataset import Recording
from .light import bake
from .noise import F32
from .path import find_path
from .plan import plan
from .scene import join
from .shading import TONE_STEPS, Development, Planes, Shader

_MISS = np.uint32(0xFFFFFFFF)
_EDGE_SAMPLES = ((-0.375, 0.125), (0.125, 0.375), (0.25, -0.25))  # pixels; with the centre they spread over the pixel


class Room:
    """One furnished and lit room. `style` names its kind, `size` is (x, y, z) metres."""

    def __init__(self, seed: int) -> None:
        import open3d as o3d

        self.seed = int(seed)
        self.layout = plan(self.seed)
        self.style, self.size = self.layout.style, self.layout.size
        mesh = join(self.layout.builder.patches)
        # One thread builds the tree, so that its shape, and which of two touching triangles a ray hits, never varies.
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.triangles))
        rng = np.random.default_rng((self.seed, 11))
        light = bake(self._scene, mesh, self.layout.builder.patches, self.layout.lights, self.layout.suns, rng)
        white = float(np.median(light[light.any(2)].mean(1)))  # a dim room must not make its screens glare
        lamps = [replace(lamp, radiance=lamp.radiance / np.float32(white)) for lamp in self.layout.lights]
        self._shader = Shader(mesh, light / np.float32(white), lamps)
        self._development = Development(rng)

    def render(self, camera: PinholeCamera, T_world_camera: ArrayLike) -> tuple[Rgb, Depth]:
        """Colour (H, W, 3) uint8 and exact depth (H, W) float32, Z in metres, of a camera at that pose (4, 4).

        NaN where a ray leaves the room. Raises CalibrationError for a camera with distortion.
        """
        T = np.asarray(T_world_camera, np.float64)
        if camera.is_distorted:
            raise CalibrationError("rooms are rendered without lens distortion: pass camera.rectified")
        columns, rows = camera.rays
        x, y = (a.ravel() for a in np.broadcast_arrays(columns[None, :], rows[:, None]))
        radiance, depth, prim = self._trace(T, x, y, camera.fx)
        gain = self._development.gain(radiance)
        exposed = np.minimum(radiance * gain, TONE_STEPS - 1)
        edge = np.flatnonzero(_patch_edges(self._shader.patch[prim].reshape(camera.height, camera.width)))
        for dx, dy in _EDGE_SAMPLES if len(edge) else ():
            more, _, _ = self._trace(
                T, x[edge] + np.float32(dx / camera.fx), y[edge] + np.float32(dy / camera.fy), camera.fx
            )
            exposed[edge] += np.minimum(more * gain, TONE_STEPS - 1)
        exposed[edge] *= 1 / (1 + len(_EDGE_SAMPLES))
        rgb = self._development.picture(
            exposed.reshape(camera.height, camera.width, 3), (self.seed, zlib.crc32(T.tobytes()))
        )
        return rgb, depth.reshape(camera.height, camera.width)

    def _trace(self, T: Matrix, x: F32, y: F32, focal_px: float) -> tuple[F32, F32, NDArray[np.int32]]:
        """Radiance (N, 3), depth (N,) and triangle (N,) of rays x / z, y / z; black and NaN outside."""
        way, hits = self._cast(T, x, y)
        reach, prim = hits["t_hit"].numpy(), hits["primitive_ids"].numpy()
        missed = prim == _MISS
        prim = np.where(missed, 0, prim).astype(np.int32)
        bary = np.ascontiguousarray(hits["primitive_uvs"].numpy().T)
        radiance = self._shader.radiance(
            T[:3, 3], way, np.where(missed, np.float32(1), reach), prim, (bary[0], bary[1]), focal_px
        )
        radiance[missed] = 0
        return radiance, np.where(missed, np.float32(np.nan), reach), prim

    def _cast(self, T: Matrix, x: F32, y: F32) -> tuple[Planes, Any]:
        """World directions with camera z = 1 of rays x / z, y / z (N,), and Open3D's answer: t_hit is depth."""
        import open3d as o3d

        R = T[:3, :3].astype(np.float32)
        rays = np.empty((len(x), 6), np.float32)
        rays[:, :3] = T[:3, 3]
        way = tuple(R[k, 0] * x + R[k, 1] * y + R[k, 2] for k in range(3))
        for k in range(3):
            rays[:, 3 + k] = way[k]
        return (way[0], way[1], way[2]), self._scene.cast_rays(o3d.core.Tensor(rays))

    def clearance(self, points: ArrayLike) -> Matrix:
        """Distance (N,) metres of points (N, 3) to the nearest surface; negative outside the room and inside boxes."""
        import open3d as o3d

        p = np.asarray(points, np.float64).reshape(-1, 3)
        distance = self._scene.compute_distance(o3d.core.Tensor(p.astype(np.float32))).numpy().astype(np.float64)
        return np.where(self.contains(p), distance, -distance)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """(N,) True for points (N, 3) of the air of the room: within its walls and in no solid box of furniture."""
        p = np.asarray(points, np.float64).reshape(-1, 3)
        free = np.asarray(((p > 0) & (p < self.size)).all(1))
        for unit in self.layout.builder.solids:
            free &= ~(np.abs(p @ unit[:3, :3].T + unit[:3, 3]) < 1).all(1)
        return free

    def view_depths(self, T_world_camera: Matrix) -> tuple[float, float]:
        """Near (3 % of pixels) and middle depth in metres of a coarse view from that pose."""
        x, y = (
            a.ravel()
            for a in np.meshgrid(
                np.linspace(-0.6, 0.6, 20, dtype=np.float32), np.linspace(-0.45, 0.45, 15, dtype=np.float32)
            )
        )
        depth = self._cast(T_world_camera, x, y)[1]["t_hit"].numpy()
        return float(np.quantile(depth, 0.03)), float(np.median(depth))


def _patch_edges(patch: NDArray[np.int32]) -> Mask:
    """(H, W) True on both sides of every change of patch."""
    edge = np.zeros(patch.shape, bool)
    across, down = patch[:, 1:] != patch[:, :-1], patch[1:] != patch[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


class RoomSequence(Recording):
    """Frames along a closed smooth path through the room of `seed`: stamp i / rate_hz, exact depth, pose.

    The path does not depend on `length`, the number of frames that the loop is divided into.
    The default camera has 640x480 pixels and 62 degrees horizontal field of view. `turn_deg` turns it to the left about
    the vertical: several cameras on one rig.
    Raises ConfigError for a length or rate that is not positive.
    """

    def __init__(
        self,
        seed: int,
        camera: PinholeCamera | None = None,
        length: int = 120,
        rate_hz: float = 15.0,
        turn_deg: float = 0.0,
    ) -> None:
        if length < 1 or not rate_hz > 0:
            raise ConfigError(
                f"a sequence needs at least one frame and a positive rate, got length {length}, rate_hz {rate_hz:g}"
            )
        super().__init__(f"room{seed}", path=Path(f"room:{seed}"))
        self.seed, self.length, self.rate_hz = int(seed), int(length), float(rate_hz)
        self.rectified = True
        self.camera = camera or PinholeCamera.from_hfov(640, 480, 62.0)
        self.room = Room(self.seed)
        c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        self._turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        rng = np.random.default_rng((self.seed, 13))
        self._path = find_path(self.room.layout, self.room.clearance, self.room.view_depths, rng)

    @property
    def is_rendered(self) -> bool:
        """Each frame is rendered."""
        return True

    @property
    def stamps(self) -> list[float]:
        """i / rate_hz of every frame i."""
        return [i / self.rate_hz for i in range(self.length)]

    def __len__(self) -> int:
        return self.length

    def pose(self, i: int) -> Matrix:
        """(4, 4) T_world_camera of frame i, not rendered; the frame after the last is the first again."""
        T = self._path.pose(i / self.length)
        T[:3, :3] = self._turn @ T[:3, :3]
        return T

    def read(self, i: int) -> Sample:
        """Frame i, rendered."""
        T = self.pose(i)
        rgb, depth = self.room.render(self.camera, T)
        return Sample(rgb, self.camera, depth, i / self.rate_hz, f"room{self.seed}/{i:06d}", T)
