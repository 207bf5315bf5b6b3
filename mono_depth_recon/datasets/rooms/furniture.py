"""Furniture of the synthetic rooms. Local frames: on the floor, back at y = 0, front towards -y, x along the wall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .decals import pick
from .desk import HOME, colour, greyish, picture, plastic, potted, scatter, work_place
from .noise import Rng
from .scene import Colour, Material, SceneBuilder


@dataclass(frozen=True)
class Item:
    """A piece: footprint `width` x `depth` and `height` in metres, `draw(builder, rng)`, and the point of interest."""

    name: str
    width: float
    depth: float
    height: float
    draw: Callable[[SceneBuilder, Rng], None]
    look_m: float = 0.8  # height of the point of interest


def timber(rng: Rng) -> Material:
    """Some kind of wood, oiled or painted."""
    browns: list[Colour] = [
        (0.55, 0.36, 0.19),
        (0.36, 0.2, 0.1),
        (0.7, 0.55, 0.36),
        (0.2, 0.11, 0.06),
        (0.62, 0.42, 0.26),
        (0.45, 0.22, 0.1),
    ]
    kind = rng.random()
    if kind < 0.2:
        return Material("pale_wood", greyish(rng, 0.65, 0.9), 0.7, 0.2)
    if kind < 0.3:
        return Material("plain", colour(rng, (0.05, 0.45), (0.3, 0.9)), 0.5, 0.15)
    base = np.array(browns[rng.integers(len(browns))]) * rng.uniform(0.75, 1.25, 3)
    return Material(
        "knotty_wood" if kind > 0.85 else "wood", (0.5, 0.5, 0.5), rng.uniform(0.5, 1.1), rng.uniform(0.05, 0.35)
    ).dyed(np.minimum(base, 0.9))


def cloth(rng: Rng) -> Material:
    """Upholstery."""
    kind = str(rng.choice(["fabric", "fabric", "checked", "leather", "carpet"]))
    return Material(kind, colour(rng, (0.05, 0.7), (0.25, 0.85)), 0.35, 0.25 if kind == "leather" else 0.0)


def steel(rng: Rng) -> Material:
    """Legs and handles."""
    return Material("metal", greyish(rng, 0.05, 0.6), 0.3, 0.6)


def desk(rng: Rng, clutter: int) -> Item:
    """An office desk in use."""
    w, d, z = rng.uniform(1.2, 2.0), rng.uniform(0.68, 0.9), rng.uniform(0.7, 0.78)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        white = rng.random() < 0.5
        top = Material("pale_wood", greyish(rng, 0.7, 0.9), 0.9, 0.3) if white else timber(rng)
        b.box((0, -d / 2, z - 0.014), (w, d, 0.028), top)
        legs = steel(rng)
        for x in (-w / 2 + 0.06, w / 2 - 0.06):
            if rng.random() < 0.3:
                b.box((x, -d / 2, (z - 0.028) / 2), (0.03, d - 0.08, z - 0.028), top)
                continue
            for y in (-0.06, -d + 0.06):
                b.box((x, y, (z - 0.028) / 2), (0.05, 0.05, z - 0.028), legs)
            b.box((x, -d / 2, z - 0.06), (0.04, d - 0.2, 0.05), legs)
        if rng.random() < 0.6:
            with b.at((rng.choice([-1, 1]) * (w / 2 - 0.32), -0.1, 0)):
                drawers(b, rng, 0.42, d - 0.2, z - 0.05, 3, timber(rng))
        if rng.random() < 0.5:
            with b.at((rng.uniform(-0.3, 0.3), -d / 2, 0)):
                b.box((0, 0, 0.23), (0.19, 0.42, 0.44), plastic(rng, greyish(rng, 0.02, 0.3)))
        with b.at((0, -d / 2, z)):
            work_place(b, rng, w, d, clutter)

    return Item("desk", w, d, z, draw, z + 0.05)


def drawers(b: SceneBuilder, rng: Rng, w: float, d: float, h: float, count: int, wood: Material) -> None:
    """A carcass with `count` drawers or doors and their handles."""
    b.box((0, -d / 2, h / 2), (w, d, h), wood)
    front, knob, gap = wood, steel(rng), 0.006
    for k in range(count):
        z0, z1 = h * k / count + gap, h * (k + 1) / count - gap
        b.box((0, -d - 0.008, (z0 + z1) / 2), (w - 2 * gap, 0.016, z1 - z0), front)
        z = (z0 + z1) / 2 + 0.3 * (z1 - z0)
        b.tube(
            [(-0.06, -d - 0.016, z), (-0.05, -d - 0.04, z), (0.05, -d - 0.04, z), (0.06, -d - 0.016, z)], 0.006, knob
        )


def cabinet(rng: Rng) -> Item:
    """A closed cabinet: doors beside each other, perhaps drawers below."""
    w, d, h = rng.uniform(0.6, 1.4), rng.uniform(0.35, 0.6), rng.uniform(0.6, 2.0)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        wood = timber(rng)
        foot = rng.uniform(0.04, 0.12)
        b.box((0, -d / 2, foot / 2), (w - 0.06, d - 0.06, foot), wood.dyed(0.5 * np.array(wood.tint)))
        b.box((0, -d / 2, (h + foot) / 2), (w, d, h - foot), replace(wood, turned=True))
        b.box((0, -d / 2, h + 0.012), (w + 0.03, d + 0.03, 0.024), wood)
        columns, split = max(1, round(w / 0.5)), rng.uniform(0.25, 0.5)
        rows = (
            [(foot, h)] if rng.random() < 0.5 else [(foot, foot + split * (h - foot)), (foot + split * (h - foot), h)]
        )
        for lo, hi in rows:
            for k in range(columns):
                _door_leaf(b, rng, -w / 2 + w * k / columns, w / columns, lo, hi, d, wood, k % 2 == 0)
        if h < 1.35:
            with b.at((0, -d / 2, h + 0.024)):
                scatter(b, rng, (w, d), HOME, int(rng.integers(0, 6)))

    return Item("cabinet", w, d, h, draw, 0.5 * h)


def _door_leaf(
    b: SceneBuilder, rng: Rng, x: float, w: float, z0: float, z1: float, d: float, wood: Material, left: bool
) -> None:
    gap, frame = 0.004, 0.055
    turned = replace(wood, turned=True)
    b.box((x + w / 2, -d - 0.008, (z0 + z1) / 2), (w - 2 * gap, 0.016, z1 - z0 - 2 * gap), turned)
    if w > 0.2 and z1 - z0 > 0.25:
        for xs in (x + frame / 2 + gap, x + w - frame / 2 - gap):
            b.box((xs, -d - 0.02, (z0 + z1) / 2), (frame, 0.01, z1 - z0 - 2 * gap), turned, solid=False)
        for zs in (z0 + frame / 2 + gap, z1 - frame / 2 - gap):
            b.box((x + w / 2, -d - 0.02, zs), (w - 2 * frame - 2 * gap, 0.01, frame), wood, solid=False)
    knob = x + w - 0.035 if left else x + 0.035
    b.ball((knob, -d - 0.035, (z0 + z1) / 2), 0.014, Material("metal", (0.45, 0.42, 0.35), 0.2, 0.7))


def shelf(rng: Rng) -> Item:
    """An open shelf with books and things."""
    w, d, h = rng.uniform(0.6, 1.5), rng.uniform(0.25, 0.38), rng.uniform(0.9, 2.1)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        wood = timber(rng)
        for x in (-w / 2 + 0.01, w / 2 - 0.01):
            b.box((x, -d / 2, h / 2), (0.02, d, h), replace(wood, turned=True))
        if rng.random() < 0.7:
            b.box((0, -0.005, h / 2), (w - 0.04, 0.01, h), wood, solid=False)
        rows = max(2, round(h / 0.36))
        for k in range(rows + 1):
            z = 0.05 + (h - 0.06) * k / rows
            b.box((0, -d / 2, z), (w - 0.04, d - 0.01, 0.02), wood)
            with b.at((0, -d / 2, z + 0.01)):
                if k < rows and rng.random() < 0.7:
                    _row_of_books(b, rng, w - 0.06, d, (h - 0.06) / rows - 0.03)
                elif h < 1.5 or k < rows:
                    scatter(b, rng, (w - 0.05, d - 0.02), HOME, 3)

    return Item("shelf", w, d, h, draw, 0.6 * h)


def _row_of_books(b: SceneBuilder, rng: Rng, w: float, d: float, room: float) -> None:
    x = -w / 2 + rng.uniform(0, 0.1)
    end = w / 2 - rng.uniform(0, 0.5) * w
    while x < end - 0.05:
        t, h, depth = rng.uniform(0.015, 0.05), room * rng.uniform(0.65, 0.95), rng.uniform(0.6, 0.85) * d
        tint = colour(rng, (0.1, 0.9), (0.15, 0.95))
        b.box(
            (x + t / 2, -d / 2 + depth / 2 + 0.01, h / 2 + 0.001),
            (t - 0.001, depth, h),
            Material("plain", tint, 0.3, 0.1),
            front=Material(pick(rng, "spine"), tint, 0.0, 0.2),
            solid=False,
        )
        x += t


def chair(rng: Rng) -> Item:
    """An office chair on a star foot, or a wooden chair."""
    office = rng.random() < 0.55

    def draw(b: SceneBuilder, rng: Rng) -> None:
        seat, z = cloth(rng), rng.uniform(0.43, 0.5)
        frame = steel(rng) if office else timber(rng)
        if office:
            for a in np.arange(5) * 2 * np.pi / 5:
                b.tube([(0, -0.27, 0.09), (0.28 * np.cos(a), -0.27 + 0.28 * np.sin(a), 0.06)], 0.02, frame)
                b.ball((0.28 * np.cos(a), -0.27 + 0.28 * np.sin(a), 0.03), 0.03, plastic(rng, (0.02, 0.02, 0.02)))
            b.cylinder((0, -0.27, 0.08), 0.025, z - 0.1, frame, 10)
        else:
            for x in (-0.19, 0.19):
                for y in (-0.06, -0.46):
                    b.box((x, y, z / 2), (0.035, 0.035, z), frame)
        b.box((0, -0.27, z), (0.46, 0.45, 0.07 if office else 0.03), seat if office or rng.random() < 0.4 else frame)
        with b.at((0, -0.04, z + 0.02), roll=-0.12):
            b.box((0, 0, 0.35), (0.42, 0.05, 0.35), seat if office else frame)
            for x in (-0.19, 0.19) if not office else (0.0,):
                b.box((x, 0.03, 0.2), (0.035, 0.02, 0.4), frame)

    return Item("chair", 0.55, 0.58, 0.95, draw, 0.5)


def table(rng: Rng, clutter: int) -> Item:
    """A table with things: dining, coffee or side table."""
    low = rng.random() < 0.35
    w, d, z = rng.uniform(0.7, 1.6), rng.uniform(0.55, 0.9), rng.uniform(0.38, 0.5) if low else rng.uniform(0.7, 0.78)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        wood = timber(rng)
        b.box((0, -d / 2, z - 0.015), (w, d, 0.03), wood)
        b.box((0, -d / 2, z - 0.07), (w - 0.14, d - 0.14, 0.08), wood)
        for x in (-w / 2 + 0.06, w / 2 - 0.06):
            for y in (-0.06, -d + 0.06):
                b.box((x, y, (z - 0.03) / 2), (0.06, 0.06, z - 0.03), wood)
        with b.at((0, -d / 2, z)):
            scatter(b, rng, (w, d), HOME, clutter)

    return Item("table", w, d, z, draw, z)


def sofa(rng: Rng) -> Item:
    """A sofa or an armchair with cushions."""
    w, d = rng.uniform(0.85, 2.2), rng.uniform(0.8, 0.95)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        stuff = cloth(rng)
        b.box((0, -d / 2, 0.17), (w, d, 0.22), stuff)
        b.box((0, -0.1, 0.5), (w, 0.2, 0.66), stuff)
        for x in (-w / 2 + 0.09, w / 2 - 0.09):
            b.box((x, -d / 2, 0.36), (0.18, d, 0.5), stuff)
        seats = max(1, round((w - 0.36) / 0.65))
        step = (w - 0.36) / seats
        for k in range(seats):
            x = -w / 2 + 0.18 + (k + 0.5) * step
            b.box((x, -d / 2 - 0.08, 0.35), (step - 0.01, d - 0.22, 0.15), stuff)
            if rng.random() < 0.5:
                with b.at((x, -0.3, 0.6), rng.normal(0, 0.3), roll=-0.35):
                    b.box((0, 0, 0), (0.4, 0.12, 0.38), cloth(rng))

    return Item("sofa", w, d, 0.83, draw, 0.5)


def bed(rng: Rng) -> Item:
    """A bed with its head at the wall."""
    w, d = rng.uniform(0.95, 1.8), rng.uniform(1.95, 2.1)

    def draw(b: SceneBuilder, rng: Rng) -> None:
        wood, sheet, cover = timber(rng), Material("fabric", greyish(rng, 0.5, 0.85), 0.3), cloth(rng)
        b.box((0, -d / 2, 0.2), (w, d, 0.2), wood)
        b.box((0, -0.02, 0.5), (w, 0.04, 0.8), wood)
        b.box((0, -d / 2 - 0.01, 0.4), (w - 0.06, d - 0.08, 0.2), sheet)
        b.box((0, -d / 2 - 0.3, 0.45), (w + 0.02, d - 0.62, 0.18), cover)
        for x in (-w / 4, w / 4) if w > 1.3 else (0.0,):
            with b.at((x, -0.3, 0.55), rng.normal(0, 0.15)):
                b.ball((0, 0, 0), 0.3, sheet, 0.3)

    return Item("bed", w, d, 0.9, draw, 0.5)


def counter(rng: Rng) -> Item:
    """A kitchen counter with doors, things on it and a cupboard above."""
    w, d, h = rng.uniform(1.4, 2.8), 0.62, 0.9

    def draw(b: SceneBuilder, rng: Rng) -> None:
        front = timber(rng)
        b.box((0, -d / 2 + 0.02, 0.05), (w, d - 0.1, 0.1), Material("plain", (0.05, 0.05, 0.05)))
        b.box((0, -d / 2, 0.48), (w, d - 0.02, 0.76), front)
        b.box(
            (0, -d / 2 - 0.01, h - 0.02),
            (w + 0.02, d + 0.02, 0.04),
            Material("speckle", greyish(rng, 0.1, 0.8), 0.3, 0.4),
        )
        columns = round(w / 0.5)
        hang = rng.random() < 0.7
        for k in range(columns):
            _door_leaf(b, rng, -w / 2 + w * k / columns, w / columns, 0.11, 0.86, d - 0.01, front, k % 2 == 0)
            if hang:
                _door_leaf(b, rng, -w / 2 + w * k / columns, w / columns, 1.45, 2.05, 0.34, front, k % 2 == 0)
        if hang:
            b.box((0, -0.17, 1.75), (w, 0.34, 0.62), front)
        with b.at((0, -d / 2, h)):
            scatter(b, rng, (w, d), HOME, int(rng.integers(5, 12)))

    return Item("counter", w, d, h, draw, 0.95)


def big_plant(rng: Rng) -> Item:
    """A plant on the floor."""
    h = rng.uniform(0.6, 1.5)
    return Item("plant", 0.5, 0.5, h, lambda b, rng: _lifted_plant(b, rng, h), 0.5 * h)


def _lifted_plant(b: SceneBuilder, rng: Rng, h: float) -> None:
    with b.at((0, -0.25, 0)):
        potted(b, rng, h)


def cartons(rng: Rng) -> Item:
    """Boxes on the floor."""

    def draw(b: SceneBuilder, rng: Rng) -> None:
        z = 0.001
        for _ in range(rng.integers(1, 4)):
            w, d, h = rng.uniform(0.28, 0.45), rng.uniform(0.25, 0.42), rng.uniform(0.15, 0.35)
            brown = Material("cardboard", (0.48, 0.33, 0.19), 0.4) if rng.random() < 0.7 else plastic(rng)
            with b.at((0, -0.25, z), rng.normal(0, 0.15)):
                b.box(
                    (0, 0, h / 2),
                    (w, d, h),
                    brown,
                    front=picture(rng, "package", (0.6, 0.5, 0.4)) if rng.random() < 0.3 else None,
                )
            z += h + 0.001

    return Item("cartons", 0.5, 0.5, 0.9, draw, 0.3)


def floor_lamp(rng: Rng) -> Item:
    """A standing lamp with a shade."""

    def draw(b: SceneBuilder, rng: Rng) -> None:
        metal = steel(rng)
        with b.at((0, -0.22, 0)):
            b.cylinder((0, 0, 0.001), 0.14, 0.02, metal)
            b.cylinder((0, 0, 0.02), 0.012, 1.4, metal, 8)
            shade = Material("fabric", greyish(rng, 0.6, 0.85), 0.2, glow=rng.choice([0.0, 1.2]))
            b.lathe([(0.2, 1.35), (0.14, 1.62), (0, 1.62)], shade)

    return Item("lamp", 0.44, 0.44, 1.65, draw, 1.2)


def bin_(rng: Rng) -> Item:
    """A waste paper bin."""

    def draw(b: SceneBuilder, rng: Rng) -> None:
        b.lathe(
            [(0, 0.001), (0.1, 0.001), (0.14, 0.3), (0.135, 0.3), (0.1, 0.02), (0, 0.02)],
            plastic(rng, colour(rng)),
            (0, -0.16, 0),
        )

    return Item("bin", 0.32, 0.32, 0.3, draw, 0.2)


def table_bare(rng: Rng) -> Item:
    """A table with hardly anything on it."""
    return table(rng, int(rng.integers(0, 2)))
