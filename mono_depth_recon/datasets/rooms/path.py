"""Where the camera of a synthetic room goes: a smooth closed path through free space, looking at things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ...arrays import Matrix
from ...errors import DataError
from .layout import Interest, Layout
from .noise import Rng

CLEARANCE_M = 0.42
_KNOTS = 8
_THERE_AND_BACK = np.array([0, 2, 4, 6, 7, 5, 3, 1])  # of sorted knots: a loop without jumps
_HEIGHT_M = (0.8, 1.8)
_STEP_M, _TURN_RAD = 0.04, np.radians(3.0)  # what a hand moves a camera in a 15th of a second
_LOOP_STEPS = 110.0
_UPRIGHT = 0.55  # cosine between the image's down and the world's, at least
Clearance = Callable[[Matrix], Matrix]  # points (N, 3) -> metres (N,), negative inside things


@dataclass(frozen=True)
class CameraPath:
    """Knots of closed cubic B-splines: `eye` (K, 3) and `target` (K, 3) world metres, `roll` (K,) radians."""

    eye: Matrix
    target: Matrix
    roll: Matrix
    pace: Matrix = field(default_factory=lambda: np.linspace(0, 1, 2))  # spline phases at equal times

    def pose(self, time: float) -> Matrix:
        """(4, 4) T_world_camera (z forward, x right, y down) at a time 0..1 of the loop."""
        phase = float(np.interp(time % 1.0, np.linspace(0, 1, len(self.pace)), self.pace))
        eye, target, roll = (_spline(knots, phase) for knots in (self.eye, self.target, self.roll[:, None]))
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll[0]), np.sin(roll[0])
        T = np.eye(4)
        T[:3, 0], T[:3, 1], T[:3, 2], T[:3, 3] = c * right + s * down, c * down - s * right, forward, eye
        return T

    def evenly_paced(self) -> tuple[CameraPath, float]:
        """The same path with its motion spread evenly over time, and how many hand-sized steps it takes."""
        phases = np.linspace(0, 1, 241)
        T = np.stack([replace(self, pace=np.linspace(0, 1, 2)).pose(p) for p in phases])
        moved = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1) / _STEP_M
        cosine = (np.einsum("nij,nij->n", T[1:, :3, :3], T[:-1, :3, :3]) - 1) / 2
        turned = np.arccos(np.clip(cosine, -1, 1)) / _TURN_RAD
        steps = np.hypot(moved, turned)
        kernel = np.hanning(41) / np.hanning(41).sum()  # smooth changes of speed
        cost = np.convolve(np.pad(steps, 20, mode="wrap"), kernel, "valid") + 0.3 * steps.mean()
        time = np.concatenate([[0.0], np.cumsum(cost)]) / cost.sum()
        return replace(self, pace=np.interp(np.linspace(0, 1, 961), time, phases)), float(steps.sum())


def _spline(knots: Matrix, phase: float) -> Matrix:
    """Uniform cubic B-spline through the closed polygon `knots` (K, D), twice continuously differentiable."""
    u = (phase % 1.0) * len(knots)
    i, t = int(u), u % 1.0
    w = np.array([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return np.asarray(w @ knots[[(i + k) % len(knots) for k in range(4)]])


def find_path(
    layout: Layout, clearance: Clearance, nearest_view: Callable[[Matrix], tuple[float, float]], rng: Rng
) -> CameraPath:
    """A path that keeps its distance everywhere; `nearest_view` gives near and middle depth of a pose, metres.

    Raises DataError where the room has no place for a camera.
    """
    phases = np.arange(48) / 48
    for attempt in range(60):
        path = _proposal(layout, clearance, rng, 0.94**attempt)
        if path is None:
            continue
        eyes = np.stack([_spline(path.eye, p) for p in phases])
        targets = np.stack([_spline(path.target, p) for p in phases])
        if (clearance(eyes) < CLEARANCE_M).any() or (np.hypot(*(targets - eyes)[:, :2].T) < 0.3).any():
            continue
        path, steps = path.evenly_paced()
        if steps > _LOOP_STEPS:
            continue
        poses = [path.pose(p) for p in phases[::2]]
        if max(T[2, 1] for T in poses) > -_UPRIGHT:
            continue
        views = np.array([nearest_view(T) for T in poses[::2]])
        if views[:, 0].min() > 0.35 and (views[:, 1] > 0.7).all():
            return path
    raise DataError(
        f"no free camera path in a {layout.style} of {layout.size[0]:.1f} x {layout.size[1]:.1f} m: use another seed"
    )


def _proposal(layout: Layout, clearance: Clearance, rng: Rng, scale: float) -> CameraPath | None:
    desks = [i for i in layout.interests if i.name == "desk"]
    if layout.style == "hall" and layout.interests:
        return _around(layout.interests[0], rng, scale)
    if desks and rng.random() < 0.75:
        return _over_desk(layout, desks[int(rng.integers(len(desks)))], clearance, rng, scale)
    return _through_room(layout, clearance, rng, scale)


def _over_desk(layout: Layout, desk: Interest, clearance: Clearance, rng: Rng, scale: float) -> CameraPath | None:
    """The path of a camera held by someone standing at the desk."""
    count = 40
    local = np.stack(
        [
            rng.uniform(-0.5, 0.5, count) * desk.width,
            -desk.depth + rng.uniform(-0.75, 0.3, count),
            rng.uniform(1.1, 1.65, count),
        ],
        1,
    )
    free = [p for p in np.array([desk.point(*p) for p in local]) if clearance(p[None])[0] > CLEARANCE_M + 0.03]
    if not free:
        return None
    eye = free[0] + rng.normal(0, 1, (_KNOTS, 3)) * np.array([0.3, 0.3, 0.18]) * scale
    x = rng.normal(0, 0.28 * desk.width, _KNOTS)
    y = rng.uniform(-0.75 * desk.depth, 0.25, _KNOTS)
    target = np.array([desk.point(a, c, desk.look_m + rng.uniform(-0.15, 0.15)) for a, c in zip(x, y, strict=True)])
    if rng.random() < 0.35:
        target[np.argmax(np.abs(x))] = _look(layout, rng)
    return CameraPath(_upright(eye), target[np.argsort(x)][_THERE_AND_BACK], rng.normal(0, 0.14, _KNOTS))


def _around(item: Interest, rng: Rng, scale: float) -> CameraPath:
    """Along an arc about one thing and back."""
    swing = np.sin(2 * np.pi * np.arange(_KNOTS) / _KNOTS)
    T = item.T_world_item
    angle = (
        np.arctan2(-T[1, 1], -T[0, 1]) + rng.normal(0, 0.8) + rng.uniform(0.15, 0.75) * scale * swing
    )  # about its front
    radius = rng.uniform(1.6, 2.9) + 0.3 * scale * rng.normal(0, 1, _KNOTS)
    centre = item.point(0, -item.depth / 2, item.look_m)
    eye = np.stack(
        [
            centre[0] + radius * np.cos(angle),
            centre[1] + radius * np.sin(angle),
            rng.uniform(0.9, 1.7) + 0.12 * rng.normal(0, 1, _KNOTS),
        ],
        1,
    )
    target = centre + rng.normal(0, 1, (_KNOTS, 3)) * np.array([0.25, 0.25, 0.2])
    return CameraPath(_upright(eye), target, rng.normal(0, 0.06, _KNOTS))


def _upright(eye: Matrix) -> Matrix:
    """Knots (K, 3) kept within the heights at which a hand holds a camera; a B-spline stays within them too."""
    return np.clip(eye, (-np.inf, -np.inf, _HEIGHT_M[0]), (np.inf, np.inf, _HEIGHT_M[1]))


def _through_room(layout: Layout, clearance: Clearance, rng: Rng, scale: float) -> CameraPath | None:
    """Some steps through the room, looking at one thing after the other within a sector."""
    Lx, Ly, _ = layout.size
    places = rng.uniform((0.5, 0.5, 0.9), (Lx - 0.5, Ly - 0.5, 1.75), (30, 3))
    free = places[clearance(places) > CLEARANCE_M + 0.05]
    if len(free) == 0:
        return None
    start = free[int(rng.integers(len(free)))]
    eye = start + rng.normal(0, 1, (_KNOTS, 3)) * np.array([0.5, 0.5, 0.15]) * scale
    targets = np.array([_look(layout, rng) for _ in range(3 * _KNOTS)])
    off = np.arctan2(targets[:, 1] - start[1], targets[:, 0] - start[0])
    off = np.angle(np.exp(1j * (off - off[0])))
    near = np.flatnonzero((np.abs(off) < 0.3 + 0.8 * scale) & (np.hypot(*(targets - start)[:, :2].T) > 0.8))
    if len(near) == 0:
        return None
    seen = rng.choice(near, _KNOTS)
    seen = seen[np.argsort(off[seen])][_THERE_AND_BACK]
    return CameraPath(_upright(eye), targets[seen], rng.normal(0, 0.06, _KNOTS))


def _look(layout: Layout, rng: Rng) -> Matrix:
    """A point of some piece of furniture, or occasionally of a wall."""
    if layout.interests and rng.random() < 0.8:
        item = layout.interests[int(rng.integers(len(layout.interests)))]
        return item.point(rng.uniform(-0.5, 0.5) * item.width, -item.depth * rng.uniform(0.2, 0.9), item.look_m)
    T, length = layout.wall_frame(int(rng.integers(4)))
    return np.asarray(T[:3, :3] @ (rng.uniform(-0.5, 0.5) * length, 0, rng.uniform(0.4, 1.6)) + T[:3, 3])
