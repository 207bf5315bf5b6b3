"""The plan of a synthetic room: shell with windows and door, lamps, furniture for its style, things on the walls.

The room fills x 0..Lx, y 0..Ly, z 0..height metres; z is up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Matrix
from . import room_furniture as furniture
from .room_desk import colour, greyish, picture
from .room_light import AreaLight, Sun
from .room_noise import Rng
from .room_scene import Material, SceneBuilder, rigid

STYLES = ("office", "living", "bedroom", "kitchen", "hall")
_STYLE_ODDS = (0.5, 0.14, 0.11, 0.1, 0.15)


@dataclass(frozen=True)
class Interest:
    """Something worth looking at: its frame in the world, footprint (w, d) metres and the height to look at."""

    name: str
    T_world_item: Matrix
    width: float
    depth: float
    look_m: float

    def point(self, x: float, y: float, z: float) -> Matrix:
        """World point (3,) of a point in the item's frame."""
        return np.asarray(self.T_world_item[:3, :3] @ (x, y, z) + self.T_world_item[:3, 3])


@dataclass
class Layout:
    """What a room consists of, before it is joined and lit."""

    style: str
    size: tuple[float, float, float]
    builder: SceneBuilder
    lights: list[AreaLight] = field(default_factory=list)
    suns: list[Sun] = field(default_factory=list)
    interests: list[Interest] = field(default_factory=list)
    _floor_taken: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0 y0 x1 y1
    _wall_taken: list[tuple[int, float, float, float]] = field(default_factory=list)  # wall, x0, x1, lowest z in use

    def wall_frame(self, k: int) -> tuple[Matrix, float]:
        """Frame of wall k (origin at the middle of its foot, x to the right seen from inside, y outwards) and its length."""
        Lx, Ly, _ = self.size
        position = ((Lx / 2, 0, 0), (Lx, Ly / 2, 0), (Lx / 2, Ly, 0), (0, Ly / 2, 0))[k]
        return rigid(position, yaw=(np.pi, -np.pi / 2, 0.0, np.pi / 2)[k]), (Lx, Ly)[k % 2]

    def at_wall(self, k: int):  # type: ignore[no-untyped-def]
        """The builder's `at` block in the frame of wall k."""
        T, _ = self.wall_frame(k)
        return self.builder.at(T[:3, 3], np.arctan2(T[1, 0], T[0, 0]))


def plan(seed: int) -> Layout:
    """The layout of the room of that seed."""
    rng = np.random.default_rng((seed, 10))
    style = str(rng.choice(STYLES, p=_STYLE_ODDS))
    low, high = ((6.5, 6), (9, 8)) if style == "hall" else ((3, 3), (7.5, 5.5)) if style == "office" else ((3, 3), (6.5, 5))
    Lx, Ly = rng.uniform(low, high)
    layout = Layout(style, (float(Lx), float(Ly), float(rng.uniform(2.4, 3.4 if style == "hall" else 2.9))), SceneBuilder(rng))
    _shell(layout, rng)
    _ceiling_lights(layout, rng)
    FURNISH[style](layout, rng)
    _pictures(layout, rng)
    return layout


def _wall_material(rng: Rng) -> Material:
    kind = str(rng.choice(["plaster", "rough_plaster", "plaster", "stripes", "ornament", "bricks"], p=[0.35, 0.25, 0.15, 0.1, 0.08, 0.07]))
    if kind == "bricks":
        return Material(kind, (0.6, 0.3, 0.2) if rng.random() < 0.5 else greyish(rng, 0.6, 0.9), 1.0)
    tint = greyish(rng, 0.65, 0.92) if rng.random() < 0.6 else colour(rng, (0.05, 0.4), (0.65, 0.97))
    return Material(kind, tint, rng.uniform(0.8, 2.0))


def _floor_material(rng: Rng, style: str) -> Material:
    kind = str(rng.choice(["planks", "parquet", "carpet", "tiles", "speckle"], p=[0.35, 0.2, 0.2, 0.12, 0.13]))
    if kind in ("planks", "parquet"):
        browns = np.array([(0.5, 0.3, 0.15), (0.32, 0.18, 0.09), (0.65, 0.48, 0.3), (0.42, 0.28, 0.17)])
        tint = np.minimum(browns[rng.integers(4)] * rng.uniform(0.8, 1.2, 3), 0.9)
        return Material(kind, (0.5, 0.5, 0.5), rng.uniform(0.9, 1.5), rng.uniform(0.1, 0.5), turned=bool(rng.random() < 0.5)).dyed(tint)
    if kind == "carpet":
        return Material(kind, colour(rng, (0.05, 0.5), (0.25, 0.7)), 0.5)
    tint = greyish(rng, 0.25, 0.8) if rng.random() < 0.7 else colour(rng, (0.1, 0.4), (0.4, 0.8))
    return Material(kind, tint, rng.uniform(1.0, 1.8), rng.uniform(0.3, 0.7))


def _shell(layout: Layout, rng: Rng) -> None:
    b, (Lx, Ly, h) = layout.builder, layout.size
    b.quad((0, Ly, 0), (Lx, 0, 0), (0, -Ly, 0), _floor_material(rng, layout.style))
    ceiling = Material("ceiling_panel", (0.85, 0.85, 0.83), 1.2) if layout.style in ("office", "hall") and rng.random() < 0.6 else \
        Material("plaster", greyish(rng, 0.75, 0.92), 1.5)
    b.quad((0, 0, h), (Lx, 0, 0), (0, Ly, 0), ceiling)
    common, accent = _wall_material(rng), _wall_material(rng)
    with_window = {int(k) for k in rng.permutation(4)[:rng.integers(1, 3)]}
    door = int(rng.choice([k for k in range(4) if k not in with_window]))
    accented = int(rng.integers(4)) if rng.random() < 0.4 else -1
    board = Material("plain", greyish(rng, 0.5, 0.9), 0.5, 0.2) if rng.random() < 0.7 else furniture.timber(rng)
    for k in range(4):
        length = layout.wall_frame(k)[1]
        with layout.at_wall(k):
            wall = accent if k == accented else common
            if k in with_window:
                _wall_with_window(layout, rng, k, length, wall)
            else:
                b.quad((-length / 2, 0, h), (length, 0, 0), (0, 0, -h), wall)
            if k == door:
                _door(layout, rng, k, length)
            b.box((0, -0.006, 0.04), (length, 0.012, 0.08), board, solid=False)


def _wall_with_window(layout: Layout, rng: Rng, k: int, length: float, wall: Material) -> None:
    b, h = layout.builder, layout.size[2]
    w = float(rng.uniform(0.9, min(2.6, length - 0.8)))
    x0 = float(rng.uniform(-length / 2 + 0.3, length / 2 - 0.3 - w))
    z0, z1 = float(rng.uniform(0.8, 1.05)), float(h - rng.uniform(0.2, 0.45))
    x1, deep = x0 + w, 0.16
    for a, c, lo, hi in ((-length / 2, x0, 0, h), (x1, length / 2, 0, h), (x0, x1, 0, z0), (x0, x1, z1, h)):
        b.quad((a, 0, hi), (c - a, 0, 0), (0, 0, lo - hi), wall)
    white = Material("plain", (0.8, 0.8, 0.78), 0.5, 0.2)
    b.quad((x0, deep, z0), (w, 0, 0), (0, -deep, 0), white)
    b.quad((x0, 0, z1), (w, 0, 0), (0, deep, 0), white)
    b.quad((x0, 0, z1), (0, deep, 0), (0, 0, z0 - z1), white)
    b.quad((x1, deep, z1), (0, -deep, 0), (0, 0, z0 - z1), white)
    day = float(rng.uniform(1.5, 6.0))
    b.quad((x0, deep, z1), (w, 0, 0), (0, 0, z0 - z1), picture(rng, "view", (0.1, 0.1, 0.1), 0.0, day))
    frame = Material("plain", greyish(rng, 0.6, 0.85), 0.5, 0.2) if rng.random() < 0.6 else furniture.timber(rng)
    bars = max(2, round(w / 0.8) + 1)
    for x in np.linspace(x0 + 0.03, x1 - 0.03, bars):
        b.box((x, deep - 0.03, (z0 + z1) / 2), (0.06, 0.05, z1 - z0), frame, solid=False)
    for z in (z0 + 0.03, z1 - 0.03):
        b.box(((x0 + x1) / 2, deep - 0.034, z), (w, 0.05, 0.06), frame, solid=False)
    b.box(((x0 + x1) / 2, -0.03, z0 - 0.015), (w + 0.1, 0.14, 0.03), frame, solid=False)
    T = layout.wall_frame(k)[0]
    corner, a, e = T[:3, :3] @ (x0, -0.01, z0) + T[:3, 3], T[:3, :3] @ (w, 0, 0), np.array([0, 0, z1 - z0])
    tint = np.array([rng.uniform(0.85, 1.0), 0.97, rng.uniform(0.95, 1.15)])
    layout.lights.append(AreaLight(corner, a, e, (day * 0.8 * tint).astype(np.float32), (3, 2)))
    if rng.random() < 0.3:
        into = T[:3, :3] @ (rng.normal(0, 0.5), 1.0, rng.uniform(0.5, 1.1))
        strength = float(rng.uniform(1.0, 2.5)) * day * np.array([1.0, 0.93, 0.8]) * 0.5
        layout.suns.append(Sun(corner, a, e, into / np.linalg.norm(into), strength.astype(np.float32)))
    layout._wall_taken.append((k, x0 - 0.1, x1 + 0.1, z0 - 0.15))


def _door(layout: Layout, rng: Rng, k: int, length: float) -> None:
    b = layout.builder
    x, w, h = float(rng.uniform(-length / 2 + 0.7, length / 2 - 0.7)), 0.86, 2.02
    leaf, frame = furniture.timber(rng), furniture.timber(rng)
    upright = Material(leaf.texture, leaf.tint, leaf.tile_m, leaf.gloss, turned=True)
    b.box((x, -0.015, h / 2), (w, 0.03, h), upright, solid=False)
    for xs in (x - w / 2 - 0.035, x + w / 2 + 0.035):
        b.box((xs, -0.025, h / 2 + 0.03), (0.07, 0.05, h + 0.06), frame, solid=False)
    b.box((x, -0.025, h + 0.03), (w, 0.05, 0.06), frame, solid=False)
    for z0, z1 in ((0.2, 0.85), (1.15, 1.85)) if rng.random() < 0.6 else ():
        b.box((x, -0.033, (z0 + z1) / 2), (w - 0.25, 0.01, z1 - z0), upright, solid=False)
    b.tube([(x + w / 2 - 0.08, -0.03, 1.04), (x + w / 2 - 0.08, -0.075, 1.04), (x + w / 2 - 0.2, -0.075, 1.04)], 0.01,
           Material("metal", (0.5, 0.5, 0.48), 0.3, 0.7))
    layout._wall_taken.append((k, x - 0.55, x + 0.55, 0.0))


def _ceiling_lights(layout: Layout, rng: Rng) -> None:
    b, (Lx, Ly, h) = layout.builder, layout.size
    warm = np.array([1.0, rng.uniform(0.8, 0.97), rng.uniform(0.6, 0.95)])
    on = rng.random() < 0.8
    tubes = layout.style in ("office", "hall")
    count = rng.integers(1, 4) if tubes else 1
    w, d = (1.2, 0.3) if tubes else (0.4, 0.4)
    power = (9.0 if on else 0.0) * float(rng.uniform(0.5, 1.2)) * (Lx * Ly / 16) / (count * w * d) * 0.25
    for k in range(count):
        x, y = Lx * (k + 0.5) / count + rng.normal(0, 0.15), Ly * rng.uniform(0.4, 0.6)
        lamp = Material("plain", (0.7, 0.7, 0.7), 0.5, 0.1, glow=6.0 if on else 0.0)
        drop = 0.06 if tubes else float(rng.uniform(0.08, 0.6))
        if tubes:
            b.box((x, y, h - 0.03), (w, d, 0.06), lamp)
        else:
            b.tube([(x, y, h), (x, y, h - drop)], 0.005, Material("plain", (0.05, 0.05, 0.05)))
            b.ball((x, y, h - drop - 0.1), 0.16, lamp, 0.65)
            drop += 0.2
        corner = np.array([x - w / 2, y + d / 2, h - drop - 0.02])
        if on:
            layout.lights.append(AreaLight(corner, np.array([w, 0, 0]), np.array([0, -d, 0]), (power * warm).astype(np.float32), (4, 2) if tubes else (3, 3)))


def _place(layout: Layout, rng: Rng, item: furniture.Item, tries: int = 25) -> bool:
    """Puts an item against a wall where nothing is yet; False if there is no room."""
    for _ in range(tries):
        k = int(rng.integers(4))
        T, length = layout.wall_frame(k)
        if length < item.width + 0.1:
            continue
        x = float(rng.uniform(-(length - item.width) / 2 + 0.03, (length - item.width) / 2 - 0.03))
        blocked = any(wall == k and x + item.width / 2 > a and x - item.width / 2 < c and item.height > z
                      for wall, a, c, z in layout._wall_taken)
        if not blocked and _put(layout, rng, item, T @ rigid((x, -0.03, 0))):
            layout._wall_taken.append((k, x - item.width / 2, x + item.width / 2, 0.0 if item.height > 1.2 else item.height + 0.25))
            return True
    return False


def _put(layout: Layout, rng: Rng, item: furniture.Item, T: Matrix, gap: float = 0.04, must: bool = False) -> bool:
    """Puts an item at frame T of its back edge unless it would overlap or leave the room."""
    corners = np.array([T[:3, :3] @ (x, y, 0) + T[:3, 3] for x in (-item.width / 2, item.width / 2) for y in (0.0, -item.depth)])
    (x0, y0), (x1, y1) = corners[:, :2].min(0), corners[:, :2].max(0)
    inside = x0 > 0.01 and y0 > 0.01 and x1 < layout.size[0] - 0.01 and y1 < layout.size[1] - 0.01
    clear = all(x1 + gap < a or x0 - gap > c or y1 + gap < e or y0 - gap > f for a, e, c, f in layout._floor_taken)
    if not (inside and clear):
        return False
    layout._floor_taken.append((x0, y0, x1, y1))
    with layout.builder.at(T[:3, 3], np.arctan2(T[1, 0], T[0, 0])):
        item.draw(layout.builder, rng)
    layout.interests.append(Interest(item.name, T, item.width, item.depth, item.look_m))
    return True


def _seat(layout: Layout, rng: Rng, at: Interest) -> None:
    """A chair before a desk, half pulled out and turned away a little; or none, if there is no room."""
    T = at.T_world_item @ rigid((rng.uniform(-0.35, 0.35), -at.depth - rng.uniform(0.75, 1.0), 0), yaw=np.pi + rng.normal(0, 0.5))
    _put(layout, rng, furniture.chair(rng), T, 0.0)


def _office(layout: Layout, rng: Rng) -> None:
    for _ in range(rng.integers(1, 4)):
        if _place(layout, rng, furniture.desk(rng, int(rng.integers(8, 34))), 40) and rng.random() < 0.6:
            _seat(layout, rng, layout.interests[-1])
    _fill(layout, rng, (furniture.shelf, furniture.cabinet, furniture.bin_, furniture.cartons, furniture.big_plant), int(rng.integers(2, 7)))


def _living(layout: Layout, rng: Rng) -> None:
    _rug(layout, rng)
    _place(layout, rng, furniture.sofa(rng), 40)
    _middle(layout, rng, furniture.table(rng, int(rng.integers(2, 8))))
    _fill(layout, rng, (furniture.shelf, furniture.sofa, furniture.cabinet, furniture.floor_lamp, furniture.big_plant), int(rng.integers(3, 7)))


def _bedroom(layout: Layout, rng: Rng) -> None:
    _rug(layout, rng)
    _place(layout, rng, furniture.bed(rng), 60)
    if rng.random() < 0.5:
        _place(layout, rng, furniture.desk(rng, int(rng.integers(4, 14))))
    _fill(layout, rng, (furniture.cabinet, furniture.cabinet, furniture.shelf, furniture.chair, furniture.floor_lamp), int(rng.integers(2, 6)))


def _kitchen(layout: Layout, rng: Rng) -> None:
    for _ in range(rng.integers(1, 3)):
        _place(layout, rng, furniture.counter(rng), 60)
    table = furniture.table(rng, int(rng.integers(3, 9)))
    if _middle(layout, rng, table):
        for _ in range(3):
            _seat(layout, rng, layout.interests[-1])
    _fill(layout, rng, (furniture.cabinet, furniture.chair, furniture.bin_, furniture.big_plant), int(rng.integers(1, 5)))


def _hall(layout: Layout, rng: Rng) -> None:
    """A big, rather empty room with one thing standing free in it."""
    make = (furniture.cabinet, furniture.cabinet, furniture.shelf, furniture.sofa, lambda r: furniture.desk(r, 12))[rng.integers(5)]
    item = make(rng)
    centre = np.array(layout.size[:2]) * rng.uniform(0.42, 0.58, 2)
    _put(layout, rng, item, rigid((*centre, 0), rng.uniform(-np.pi, np.pi)) @ rigid((0, item.depth / 2, 0)))
    _fill(layout, rng, (furniture.cartons, furniture.chair, furniture.shelf, furniture.table_bare, furniture.cabinet), int(rng.integers(0, 6)))


FURNISH: dict[str, Callable[[Layout, Rng], None]] = {"office": _office, "living": _living, "bedroom": _bedroom, "kitchen": _kitchen, "hall": _hall}


def _fill(layout: Layout, rng: Rng, kinds: tuple[Callable[[Rng], furniture.Item], ...], count: int) -> None:
    for _ in range(count):
        _place(layout, rng, kinds[rng.integers(len(kinds))](rng))


def _middle(layout: Layout, rng: Rng, item: furniture.Item) -> bool:
    centre = np.array(layout.size[:2]) * rng.uniform(0.4, 0.6, 2)
    return _put(layout, rng, item, rigid((*centre, 0), rng.choice([0, np.pi / 2])) @ rigid((0, item.depth / 2, 0)), 0.3)


def _rug(layout: Layout, rng: Rng) -> None:
    Lx, Ly, _ = layout.size
    w, d = rng.uniform(1.2, 2.2), rng.uniform(1.0, 1.7)
    with layout.builder.at((Lx * rng.uniform(0.42, 0.58), Ly * rng.uniform(0.42, 0.58), 0.006), rng.normal(0, 0.1)):
        layout.builder.box((0, 0, 0), (w, d, 0.01), Material("carpet", colour(rng), 0.3), top=picture(rng, "rug", gloss=0.0), solid=False)


def _pictures(layout: Layout, rng: Rng) -> None:
    """Framed pictures and notes where the walls are free."""
    for _ in range(rng.integers(1, 7)):
        k = int(rng.integers(4))
        length = layout.wall_frame(k)[1]
        w, h = rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.8)
        x, z = float(rng.uniform(-length / 2 + w, length / 2 - w)), float(rng.uniform(1.35, 1.75))
        if any(wall == k and x + w / 2 > a and x - w / 2 < c and (z0 == 0.0 or z + h / 2 > z0) for wall, a, c, z0 in layout._wall_taken):
            continue
        layout._wall_taken.append((k, x - w / 2, x + w / 2, 0.0))
        with layout.at_wall(k):
            layout.builder.box((x, -0.012, z), (w, 0.022, h), furniture.steel(rng) if rng.random() < 0.5 else furniture.timber(rng), solid=False)
            layout.builder.quad((x - w / 2 + 0.02, -0.0245, z + h / 2 - 0.02), (w - 0.04, 0, 0), (0, 0, -h + 0.04), picture(rng, "poster", gloss=0.25))
