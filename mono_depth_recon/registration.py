"""Depth of one camera on the pixel grid of another."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Depth, Matrix
from .camera import PinholeCamera
from .errors import DataError

_SAME_PX = 0.5  # intrinsics that differ by less show every pixel at the same place
_REACH = 0.55  # source pixels: half a pixel, and a little, so that curved surfaces have no cracks
_COARSE_PX = 320  # of `DepthView.on`
_WIDEST_PX = 8.0  # a source pixel that covers more is seen too obliquely to be filled
_HIDING = 0.005  # of the image's width: a nearer point so far away hides another, at most twice as far
_HIDDEN = 1.25  # times as far as a nearer point beside it: hidden from this camera
_JUMP = 0.2  # relative difference of neighbouring inverse depths that is an edge, not a slope

F64 = NDArray[np.float64]


def same_grid(a: PinholeCamera, b: PinholeCamera) -> bool:
    """Whether two cameras at one place see the same in each pixel: equal size, and K within half a pixel.

    Lenses are not compared: drivers leave D out of the camera_info of depth that is registered to a raw image.
    """
    return a.size == b.size and bool(np.abs(a.K - b.K).max() < _SAME_PX)


def register_depth(
    depth: Depth, depth_camera: PinholeCamera, colour_camera: PinholeCamera, T_colour_depth: Matrix
) -> Depth:
    """`depth` (h, w) metres of `depth_camera` as `colour_camera` sees it: (H, W) float32, NaN where it sees nothing.

    `T_colour_depth` (4, 4) maps points of the depth camera to the colour camera. Both cameras are those of their raw
    images (K and D). What is not finite or not positive is unknown. Each pixel of the depth image is a patch of the
    plane through it and its neighbours, projected forward into the pixels whose centres it covers; the nearest patch
    counts. Planes are exact at every pixel. Raises DataError where depth and its camera differ in size.
    """
    if depth.shape != (depth_camera.height, depth_camera.width):
        raise DataError(
            f"depth is {depth.shape[1]}x{depth.shape[0]}, its camera {depth_camera.width}x{depth_camera.height}: "
            "give the camera of the depth image"
        )
    patches = _patches(depth, depth_camera, T_colour_depth)
    nearest = np.full(colour_camera.height * colour_camera.width, np.inf)
    rays = _rays(colour_camera)
    u, v, reach = _footprints(patches, colour_camera)
    first_u, first_v = np.ceil(u - reach[0]).astype(np.int64), np.ceil(v - reach[1]).astype(np.int64)
    for down in range(int(2 * reach[1].max(initial=0)) + 1):
        for across in range(int(2 * reach[0].max(initial=0)) + 1):
            column, row = first_u + across, first_v + down
            near = (column <= u + reach[0]) & (row <= v + reach[1])
            near &= (column >= 0) & (column < colour_camera.width) & (row >= 0) & (row < colour_camera.height)
            chosen = np.flatnonzero(near)
            place = row[chosen] * colour_camera.width + column[chosen]
            metres = patches.hit(chosen, rays[place])
            met = np.isfinite(metres)
            np.minimum.at(nearest, place[met], metres[met])
    nearest[np.isinf(nearest)] = np.nan
    return nearest.reshape(colour_camera.height, colour_camera.width).astype(np.float32)


def project_points(points: F64, camera: PinholeCamera) -> Depth:
    """Points (N, 3), metres in the optical frame of `camera`, as sparse depth (H, W) float32 on its rectified grid.

    NaN where there is no point. The nearest point of a pixel counts; one far behind a nearer point beside it is left
    out, since this camera does not see it. Points that are not finite or not in front of the camera do not count.
    """
    import cv2

    grid = camera.rectified
    turned = points if camera.R is None else points @ camera.R.T
    turned = turned[turned[:, 2] > 0]
    pixels = turned[:, :2] / turned[:, 2:] * (grid.fx, grid.fy) + (grid.cx + 0.5, grid.cy + 0.5)
    inside = ((pixels >= 0) & (pixels < grid.size)).all(axis=1)
    z = turned[inside, 2].astype(np.float32)
    farthest_first = np.argsort(-z, kind="stable")  # of several values for one place the last one stays
    z, (column, row) = z[farthest_first], pixels[inside][farthest_first].astype(np.intp).T
    side = max(1, round(_HIDING * grid.width))
    coarse = np.full((-(-grid.height // side), -(-grid.width // side)), np.inf, np.float32)
    coarse[row // side, column // side] = z
    seen = z <= _HIDDEN * cv2.erode(coarse, np.ones((3, 3), np.uint8))[row // side, column // side]
    depth = np.full((grid.height, grid.width), np.nan, np.float32)
    depth[row[seen], column[seen]] = z[seen]
    return depth


@dataclass(frozen=True, eq=False)
class DepthView:
    """Depth (h, w) metres as its own `camera` saw it; `T_colour_depth` (4, 4) leads to another camera."""

    depth: Depth
    camera: PinholeCamera
    T_colour_depth: Matrix

    def on(self, colour_camera: PinholeCamera) -> Depth:
        """The depth as the raw image of `colour_camera` sees it, at most 320 pixels wide where it must be registered.

        That is fine enough for a fit or a comparison, and a tenth of the time. Raises DataError as `register_depth`.
        """
        if same_grid(self.camera, colour_camera) and np.allclose(self.T_colour_depth, np.eye(4), atol=1e-6):
            return self.depth
        step = max(1, round(self.camera.width / _COARSE_PX))
        thin = np.ascontiguousarray(self.depth[::step, ::step])
        K = self.camera.K / np.array([[step], [step], [1.0]])  # every step-th pixel, whose centres stay
        source = PinholeCamera(thin.shape[1], thin.shape[0], K, self.camera.D, self.camera.distortion_model)
        share = min(1.0, _COARSE_PX / colour_camera.width)
        target = colour_camera.resized(round(colour_camera.width * share), round(colour_camera.height * share))
        return register_depth(thin, source, target, self.T_colour_depth)


@dataclass(frozen=True, eq=False)
class _Patches:
    """Planes through N pixels of the depth image, in the colour camera's axes, over offsets d within the pixel.

    A point at d is (p + M d) / (w + g d): `p` (N, 3), `M` (N, 3, 2), inverse depth `w` (N,), its gradient `g` (N, 2).
    """

    p: F64
    M: F64
    w: F64
    g: F64

    def hit(self, chosen: NDArray[np.int64], rays: F64) -> F64:
        """Depth (n,) where `rays` (n, 2), x / z and y / z, meet the patches `chosen` (n,); NaN beside them."""
        p, M = self.p[chosen], self.M[chosen]
        A = M[:, :2] - rays[:, :, None] * M[:, 2:]
        b = rays * p[:, 2:] - p[:, :2]
        with np.errstate(divide="ignore", invalid="ignore"):
            d = (
                np.stack([A[:, 1, 1] * b[:, 0] - A[:, 0, 1] * b[:, 1], A[:, 0, 0] * b[:, 1] - A[:, 1, 0] * b[:, 0]])
                / (A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0])
            ).T
            metres = (p[:, 2] + (M[:, 2] * d).sum(axis=1)) / (self.w[chosen] + (self.g[chosen] * d).sum(axis=1))
            inside = (np.abs(d) <= _REACH).all(axis=1) & (metres > 0)
        return np.where(inside, metres, np.nan)


def _patches(depth: Depth, camera: PinholeCamera, T: Matrix) -> _Patches:
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1.0, depth, out=np.full(depth.shape, np.nan), where=known)
    gradient = np.stack([_slope(inverse, 1), _slope(inverse, 0)], axis=-1)[known]
    rays = _rays(camera).reshape(*depth.shape, 2)
    steps = np.zeros((*depth.shape, 3, 2))  # how a ray changes from pixel to pixel
    for axis in (0, 1):
        if rays.shape[1 - axis] > 1:
            steps[..., :2, axis] = np.gradient(rays, axis=1 - axis)
    R, t, w = T[:3, :3], T[:3, 3], inverse[known]
    ray = np.concatenate([rays[known], np.ones((len(w), 1))], axis=1)
    made = _Patches(ray @ R.T + w[:, None] * t, R @ steps[known] + t[:, None] * gradient[:, None, :], w, gradient)
    front = made.p[:, 2] > 0
    return _Patches(made.p[front], made.M[front], made.w[front], made.g[front])


def _slope(inverse: F64, axis: int) -> F64:
    """Change of inverse depth per pixel along an axis: the smaller difference to a neighbour; 0 at edges."""
    difference = np.diff(inverse, axis=axis)
    gap = np.full_like(np.take(inverse, [0], axis), np.nan)
    ahead, behind = np.concatenate([difference, gap], axis), np.concatenate([gap, difference], axis)
    smaller = np.where(np.isnan(behind) | (np.abs(ahead) < np.abs(behind)), ahead, behind)
    return np.where(np.abs(smaller) < _JUMP * inverse, smaller, 0.0)


def _footprints(patches: _Patches, camera: PinholeCamera) -> tuple[F64, F64, F64]:
    """Pixels u and v (N,) where the patches' middles are seen, and how far (2, N) the patches reach around them."""
    p, M = patches.p, patches.M
    x = p[:, :2] / p[:, 2:]
    spread = np.abs((M[:, :2] - x[:, :, None] * M[:, 2:]) / p[:, 2:, None]).sum(axis=2)
    reach = np.minimum(_REACH * spread * (camera.fx, camera.fy), _WIDEST_PX) + 0.5 * camera.is_distorted
    u, v = _projected(x, camera).T
    return u, v, reach.T


def _projected(x: F64, camera: PinholeCamera) -> F64:
    """(N, 2) pixels of the raw image that rays `x` (N, 2) meet; far outside of it where the lens model ends."""
    if not camera.is_distorted:
        return x * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    import cv2

    # a polynomial folds far rays back into the image
    seen = np.abs(x).max(axis=1, initial=0) <= 1.1 * np.abs(_rays(camera)).max()
    pixels = np.full(x.shape, -1e6)
    if seen.any():
        points = np.concatenate([x[seen], np.ones((int(seen.sum()), 1))], axis=1)[:, None]
        project = cv2.fisheye.projectPoints if camera.distortion_model == "equidistant" else cv2.projectPoints
        zero = np.zeros(3)
        pixels[seen] = project(points, zero, zero, camera.K, np.array(camera.D))[0].reshape(-1, 2)
    return pixels


@functools.lru_cache(maxsize=4)
def _rays(camera: PinholeCamera) -> F64:
    """(H * W, 2) x / z and y / z of every pixel of the raw image, row by row."""
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float64)
    if not camera.is_distorted:
        return (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    import cv2

    undistort = cv2.fisheye.undistortPoints if camera.distortion_model == "equidistant" else cv2.undistortPoints
    return np.asarray(undistort(pixels[:, None], camera.K, np.array(camera.D)), np.float64).reshape(-1, 2)
