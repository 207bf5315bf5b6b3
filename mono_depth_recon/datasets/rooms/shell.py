"""The shell of a synthetic room: walls, windows, door, lamps under the ceiling and what hangs on the walls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import furniture
from .desk import colour, greyish, picture, plastic
from .layout import Layout
from .light import AreaLight, Sun
from .noise import Rng
from .scene import Material

Opening = tuple[float, float, float, float]  # x0, x1, z0, z1 in the frame of a wall, metres


def _wall_material(rng: Rng) -> Material:
    kind = str(
        rng.choice(
            ["plaster", "rough_plaster", "plaster", "stripes", "ornament", "bricks"],
            p=[0.35, 0.25, 0.15, 0.1, 0.08, 0.07],
        )
    )
    if kind == "bricks":
        return Material(kind, (0.6, 0.3, 0.2) if rng.random() < 0.5 else greyish(rng, 0.6, 0.9), 1.0)
    tint = greyish(rng, 0.65, 0.92) if rng.random() < 0.6 else colour(rng, (0.05, 0.4), (0.65, 0.97))
    return Material(kind, tint, rng.uniform(0.8, 2.0))


def _floor_material(rng: Rng, style: str) -> Material:
    kind = str(rng.choice(["planks", "parquet", "carpet", "tiles", "speckle"], p=[0.35, 0.2, 0.2, 0.12, 0.13]))
    if kind in ("planks", "parquet"):
        browns = np.array([(0.5, 0.3, 0.15), (0.32, 0.18, 0.09), (0.65, 0.48, 0.3), (0.42, 0.28, 0.17)])
        tint = np.minimum(browns[rng.integers(4)] * rng.uniform(0.8, 1.2, 3), 0.9)
        return Material(
            kind, (0.5, 0.5, 0.5), rng.uniform(0.9, 1.5), rng.uniform(0.1, 0.5), turned=bool(rng.random() < 0.5)
        ).dyed(tint)
    if kind == "carpet":
        return Material(kind, colour(rng, (0.05, 0.5), (0.25, 0.7)), 0.5)
    tint = greyish(rng, 0.25, 0.8) if rng.random() < 0.7 else colour(rng, (0.1, 0.4), (0.4, 0.8))
    return Material(kind, tint, rng.uniform(1.0, 1.8), rng.uniform(0.3, 0.7))


def shell(layout: Layout, rng: Rng) -> None:
    """Floor, ceiling, four walls with one or two windows and a door, skirting boards."""
    b, (Lx, Ly, h) = layout.builder, layout.size
    b.quad((0, Ly, 0), (Lx, 0, 0), (0, -Ly, 0), _floor_material(rng, layout.style))
    ceiling = (
        Material("ceiling_panel", (0.85, 0.85, 0.83), 1.2)
        if layout.style in ("office", "hall") and rng.random() < 0.6
        else Material("plaster", greyish(rng, 0.75, 0.92), 1.5)
    )
    b.quad((0, 0, h), (Lx, 0, 0), (0, Ly, 0), ceiling)
    common, accent = _wall_material(rng), _wall_material(rng)
    with_window = {int(k) for k in rng.permutation(4)[: rng.integers(1, 3)]}
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
    x1, z0, z1 = x0 + w, float(rng.uniform(0.8, 1.05)), float(h - rng.uniform(0.2, 0.45))
    for a, c, lo, hi in ((-length / 2, x0, 0, h), (x1, length / 2, 0, h), (x0, x1, 0, z0), (x0, x1, z1, h)):
        b.quad((a, 0, hi), (c - a, 0, 0), (0, 0, lo - hi), wall)
    day = float(rng.uniform(1.5, 5.0))
    _pane(layout, rng, (x0, x1, z0, z1), day)
    _daylight(layout, rng, k, (x0, x1, z0, z1), day)
    if rng.random() < 0.5:
        _radiator(layout, rng, (x0 + x1) / 2, min(w, 1.6))
    if rng.random() < 0.4:
        _curtains(layout, rng, x0, x1, z1)
    layout.wall_taken.append((k, x0 - 0.3, x1 + 0.3, z0 - 0.15))


def _pane(layout: Layout, rng: Rng, opening: Opening, day: float) -> None:
    """The recess of a window in the local frame of its wall, the view outside, the frame and the sill."""
    b, deep = layout.builder, 0.16
    x0, x1, z0, z1 = opening
    w, h = x1 - x0, z1 - z0
    white = Material("plain", (0.8, 0.8, 0.78), 0.5, 0.2)
    b.quad((x0, deep, z0), (w, 0, 0), (0, -deep, 0), white)
    b.quad((x0, 0, z1), (w, 0, 0), (0, deep, 0), white)
    b.quad((x0, 0, z1), (0, deep, 0), (0, 0, -h), white)
    b.quad((x1, deep, z1), (0, -deep, 0), (0, 0, -h), white)
    b.quad((x0, deep, z1), (w, 0, 0), (0, 0, -h), picture(rng, "view", (0.1, 0.1, 0.1), 0.0, day))
    frame = Material("plain", greyish(rng, 0.6, 0.85), 0.5, 0.2) if rng.random() < 0.6 else furniture.timber(rng)
    for x in np.linspace(x0 + 0.03, x1 - 0.03, max(2, round(w / 0.8) + 1)):
        b.box((x, deep - 0.03, (z0 + z1) / 2), (0.06, 0.05, h), frame, solid=False)
    for z in (z0 + 0.03, z1 - 0.03):
        b.box(((x0 + x1) / 2, deep - 0.034, z), (w, 0.05, 0.06), frame, solid=False)
    b.box(((x0 + x1) / 2, -0.03, z0 - 0.015), (w + 0.1, 0.14, 0.03), frame, solid=False)


def _daylight(layout: Layout, rng: Rng, k: int, opening: Opening, day: float) -> None:
    """The window as a lamp, and sometimes the sun through it."""
    x0, x1, z0, z1 = opening
    T = layout.wall_frame(k)[0]
    corner, across = T[:3, :3] @ (x0, -0.01, z0) + T[:3, 3], T[:3, :3] @ (x1 - x0, 0.0, 0.0)
    up = np.array([0.0, 0.0, z1 - z0])
    tint = np.array([rng.uniform(0.85, 1.0), 0.97, rng.uniform(0.95, 1.15)])
    layout.lights.append(AreaLight(corner, across, up, (day * 0.8 * tint).astype(np.float32), (3, 2)))
    if rng.random() < 0.3:
        towards = T[:3, :3] @ (rng.normal(0, 0.5), 1.0, rng.uniform(0.5, 1.1))
        strength = rng.uniform(0.5, 1.2) * day * np.array([1.0, 0.93, 0.8])
        layout.suns.append(Sun(corner, across, up, towards / np.linalg.norm(towards), strength.astype(np.float32)))


def _radiator(layout: Layout, rng: Rng, x: float, w: float) -> None:
    b, white = layout.builder, Material("plain", greyish(rng, 0.65, 0.85), 0.5, 0.3)
    if rng.random() < 0.5:
        b.box((x, -0.06, 0.42), (w, 0.08, 0.55), white)
        for groove in np.arange(-w / 2 + 0.05, w / 2 - 0.02, 0.06):
            b.box((x + groove, -0.104, 0.42), (0.03, 0.008, 0.5), white, solid=False)
        return
    for rib in np.arange(-w / 2, w / 2, 0.075):
        b.box((x + rib, -0.07, 0.42), (0.05, 0.1, 0.58), white)
    b.box((x, -0.07, 0.2), (w, 0.04, 0.05), white)


def _curtains(layout: Layout, rng: Rng, x0: float, x1: float, top: float) -> None:
    """Two curtains in folds beside a window, on a rod."""
    b = layout.builder
    stuff = Material("fabric", colour(rng, (0.05, 0.6), (0.4, 0.95)), 0.4)
    z1, z0 = top + 0.1, float(rng.choice([0.1, 0.7]))
    b.tube([(x0 - 0.35, -0.09, z1), (x1 + 0.35, -0.09, z1)], 0.012, furniture.steel(rng), 8)
    for left in (x0 - 0.28, x1 - 0.02):
        s = np.linspace(0, 1, 49)
        fold = rng.uniform(0.02, 0.035) * np.sin(2 * np.pi * s * rng.integers(4, 7) + rng.uniform(0, 6))
        edge = np.stack([left + 0.3 * s, -0.09 + fold], 1)
        normal = np.stack([np.gradient(edge[:, 1]), -np.gradient(edge[:, 0])], 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points = np.stack([np.c_[edge, np.full(49, z)] for z in (z1, z0)])
        b.grid(points, np.repeat(np.c_[normal, np.zeros(49)][None], 2, 0), stuff)


def _door(layout: Layout, rng: Rng, k: int, length: float) -> None:
    b = layout.builder
    x, w, h = float(rng.uniform(-length / 2 + 0.7, length / 2 - 0.7)), 0.86, 2.02
    leaf, frame = furniture.timber(rng), furniture.timber(rng)
    upright = replace(leaf, turned=True)
    b.box((x, -0.015, h / 2), (w, 0.03, h), upright, solid=False)
    for xs in (x - w / 2 - 0.035, x + w / 2 + 0.035):
        b.box((xs, -0.025, h / 2 + 0.03), (0.07, 0.05, h + 0.06), frame, solid=False)
    b.box((x, -0.025, h + 0.03), (w, 0.05, 0.06), frame, solid=False)
    for z0, z1 in ((0.2, 0.85), (1.15, 1.85)) if rng.random() < 0.6 else ():
        b.box((x, -0.033, (z0 + z1) / 2), (w - 0.25, 0.01, z1 - z0), upright, solid=False)
    b.tube(
        [(x + w / 2 - 0.08, -0.03, 1.04), (x + w / 2 - 0.08, -0.075, 1.04), (x + w / 2 - 0.2, -0.075, 1.04)],
        0.01,
        Material("metal", (0.5, 0.5, 0.48), 0.3, 0.7),
    )
    layout.wall_taken.append((k, x - 0.55, x + 0.55, 0.0))


def ceiling_lights(layout: Layout, rng: Rng) -> None:
    """Tubes or a pendant; one room in five has daylight only."""
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
            layout.lights.append(
                AreaLight(
                    corner,
                    np.array([w, 0, 0]),
                    np.array([0, -d, 0]),
                    (power * warm).astype(np.float32),
                    (4, 2) if tubes else (3, 3),
                )
            )


def pictures(layout: Layout, rng: Rng) -> None:
    """Framed pictures, bare notes, a clock: where the walls are free."""
    for _ in range(rng.integers(2, 9)):
        k = int(rng.integers(4))
        length = layout.wall_frame(k)[1]
        w, h = float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.25, 0.8))
        x, z = float(rng.uniform(-length / 2 + w, length / 2 - w)), float(rng.uniform(1.35, 1.75))
        if any(
            wall == k and x + w / 2 > a and x - w / 2 < c and (z0 == 0.0 or z + h / 2 > z0)
            for wall, a, c, z0 in layout.wall_taken
        ):
            continue
        layout.wall_taken.append((k, x - w / 2, x + w / 2, 0.0))
        with layout.at_wall(k):
            _hang(layout, rng, (x, z, w, h))


def _hang(layout: Layout, rng: Rng, place: Opening) -> None:
    """One thing at x, z of width and height on the wall of the current frame."""
    b, (x, z, w, h) = layout.builder, place
    kind = rng.random()
    if kind < 0.12:
        with b.at((x, 0, z), roll=np.pi / 2):
            b.cylinder((0, 0, 0.001), 0.15, 0.04, plastic(rng), 32)
            b.cylinder((0, 0, 0.041), 0.135, 0.001, Material("plain", (0.85, 0.85, 0.83), 0.5), 32)
            for angle, reach in rng.uniform((0, 0.07), (6.28, 0.12), (2, 2)):
                b.tube(
                    [(0, 0, 0.045), (reach * np.cos(angle), reach * np.sin(angle), 0.045)],
                    0.004,
                    plastic(rng, (0.02, 0.02, 0.02)),
                    4,
                )
    elif kind < 0.35:
        for dx, dz in rng.uniform(-0.25, 0.25, (rng.integers(1, 5), 2)):
            b.quad(
                (x + dx - 0.105, -0.003 - 0.002 * abs(dx), z + dz + 0.148),
                (0.21, 0, 0),
                (0, 0, -0.297),
                picture(rng, "paper"),
            )
    else:
        frame = furniture.steel(rng) if rng.random() < 0.5 else furniture.timber(rng)
        b.box((x, -0.012, z), (w, 0.022, h), frame, solid=False)
        b.quad(
            (x - w / 2 + 0.02, -0.0245, z + h / 2 - 0.02),
            (w - 0.04, 0, 0),
            (0, 0, -h + 0.04),
            picture(rng, "poster", gloss=0.25),
        )
