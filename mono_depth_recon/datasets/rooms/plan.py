"""The plan of a synthetic room: shell with windows and door, lamps, furniture for its style, things on the walls.

The room fills x 0..Lx, y 0..Ly, z 0..height metres; z is up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arrays import Matrix
from . import furniture
from . import shell as room_shell
from .desk import colour, picture
from .layout import Interest, Layout
from .noise import Rng
from .scene import Material, SceneBuilder, rigid

STYLES = ("office", "living", "bedroom", "kitchen", "hall")
_STYLE_ODDS = (0.5, 0.14, 0.11, 0.1, 0.15)


def plan(seed: int) -> Layout:
    """The layout of the room of that seed."""
    rng = np.random.default_rng((seed, 10))
    style = str(rng.choice(STYLES, p=_STYLE_ODDS))
    low, high = (
        ((6.5, 6), (9, 8)) if style == "hall" else ((3, 3), (7.5, 5.5)) if style == "office" else ((3, 3), (6.5, 5))
    )
    Lx, Ly = rng.uniform(low, high)
    layout = Layout(
        style, (float(Lx), float(Ly), float(rng.uniform(2.4, 3.4 if style == "hall" else 2.9))), SceneBuilder(rng)
    )
    room_shell.shell(layout, rng)
    room_shell.ceiling_lights(layout, rng)
    FURNISH[style](layout, rng)
    room_shell.pictures(layout, rng)
    return layout


def _place(layout: Layout, rng: Rng, item: furniture.Item, tries: int = 25) -> bool:
    """Puts an item against a free part of a wall; False if there is no space."""
    for _ in range(tries):
        k = int(rng.integers(4))
        T, length = layout.wall_frame(k)
        if length < item.width + 0.1:
            continue
        x = float(rng.uniform(-(length - item.width) / 2 + 0.03, (length - item.width) / 2 - 0.03))
        blocked = any(
            wall == k and x + item.width / 2 > a and x - item.width / 2 < c and item.height > z
            for wall, a, c, z in layout.wall_taken
        )
        if not blocked and _put(layout, rng, item, T @ rigid((x, -0.03, 0))):
            layout.wall_taken.append(
                (k, x - item.width / 2, x + item.width / 2, 0.0 if item.height > 1.2 else item.height + 0.25)
            )
            return True
    return False


def _put(layout: Layout, rng: Rng, item: furniture.Item, T: Matrix, gap: float = 0.04, must: bool = False) -> bool:
    """Puts an item at frame T of its back edge unless it would overlap or leave the room."""
    corners = np.array(
        [T[:3, :3] @ (x, y, 0) + T[:3, 3] for x in (-item.width / 2, item.width / 2) for y in (0.0, -item.depth)]
    )
    (x0, y0), (x1, y1) = corners[:, :2].min(0), corners[:, :2].max(0)
    inside = x0 > 0.01 and y0 > 0.01 and x1 < layout.size[0] - 0.01 and y1 < layout.size[1] - 0.01
    clear = all(x1 + gap < a or x0 - gap > c or y1 + gap < e or y0 - gap > f for a, e, c, f in layout.floor_taken)
    if not (inside and clear):
        return False
    layout.floor_taken.append((x0, y0, x1, y1))
    with layout.builder.at(T[:3, 3], np.arctan2(T[1, 0], T[0, 0])):
        item.draw(layout.builder, rng)
    layout.interests.append(Interest(item.name, T, item.width, item.depth, item.look_m))
    return True


def _seat(layout: Layout, rng: Rng, at: Interest) -> None:
    """A chair before a desk, half pulled out and turned away a little; or none, if there is no space."""
    T = at.T_world_item @ rigid(
        (rng.uniform(-0.35, 0.35), -at.depth - rng.uniform(0.75, 1.0), 0), yaw=np.pi + rng.normal(0, 0.5)
    )
    _put(layout, rng, furniture.chair(rng), T, 0.0)


def _office(layout: Layout, rng: Rng) -> None:
    for _ in range(rng.integers(1, 4)):
        if _place(layout, rng, furniture.desk(rng, int(rng.integers(8, 34))), 40) and rng.random() < 0.6:
            _seat(layout, rng, layout.interests[-1])
    _fill(
        layout,
        rng,
        (furniture.shelf, furniture.cabinet, furniture.bin_, furniture.cartons, furniture.big_plant),
        int(rng.integers(2, 7)),
    )


def _living(layout: Layout, rng: Rng) -> None:
    _rug(layout, rng)
    _place(layout, rng, furniture.sofa(rng), 40)
    _middle(layout, rng, furniture.table(rng, int(rng.integers(2, 8))))
    _fill(
        layout,
        rng,
        (furniture.shelf, furniture.sofa, furniture.cabinet, furniture.floor_lamp, furniture.big_plant),
        int(rng.integers(3, 7)),
    )


def _bedroom(layout: Layout, rng: Rng) -> None:
    _rug(layout, rng)
    _place(layout, rng, furniture.bed(rng), 60)
    if rng.random() < 0.5:
        _place(layout, rng, furniture.desk(rng, int(rng.integers(4, 14))))
    _fill(
        layout,
        rng,
        (furniture.cabinet, furniture.cabinet, furniture.shelf, furniture.chair, furniture.floor_lamp),
        int(rng.integers(2, 6)),
    )


def _kitchen(layout: Layout, rng: Rng) -> None:
    for _ in range(rng.integers(1, 3)):
        _place(layout, rng, furniture.counter(rng), 60)
    table = furniture.table(rng, int(rng.integers(3, 9)))
    if _middle(layout, rng, table):
        for _ in range(3):
            _seat(layout, rng, layout.interests[-1])
    _fill(
        layout, rng, (furniture.cabinet, furniture.chair, furniture.bin_, furniture.big_plant), int(rng.integers(1, 5))
    )


def _hall(layout: Layout, rng: Rng) -> None:
    """A big, rather empty room with one thing standing free in it."""
    make = (furniture.cabinet, furniture.cabinet, furniture.shelf, furniture.sofa, lambda r: furniture.desk(r, 12))[
        rng.integers(5)
    ]
    item = make(rng)
    centre = np.array(layout.size[:2]) * rng.uniform(0.42, 0.58, 2)
    _put(layout, rng, item, rigid((*centre, 0), rng.uniform(-np.pi, np.pi)) @ rigid((0, item.depth / 2, 0)))
    _fill(
        layout,
        rng,
        (furniture.cartons, furniture.chair, furniture.shelf, furniture.table_bare, furniture.cabinet),
        int(rng.integers(0, 6)),
    )


FURNISH: dict[str, Callable[[Layout, Rng], None]] = {
    "office": _office,
    "living": _living,
    "bedroom": _bedroom,
    "kitchen": _kitchen,
    "hall": _hall,
}


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
        layout.builder.box(
            (0, 0, 0),
            (w, d, 0.01),
            Material("carpet", colour(rng), 0.3),
            top=picture(rng, "rug", gloss=0.0),
            solid=False,
        )
