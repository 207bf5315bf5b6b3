"""What lies on desks, tables and shelves of the synthetic rooms.

Local frames: z up from the surface, -y towards the user, metres.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .decals import hsv, pick
from .noise import Rng
from .scene import Colour, Material, SceneBuilder

Draw = Callable[[SceneBuilder, Rng], None]


def colour(rng: Rng, saturation: tuple[float, float] = (0.2, 0.85), value: tuple[float, float] = (0.3, 0.9)) -> Colour:
    """A random linear albedo."""
    r, g, b = (float(c) ** 1.8 for c in hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value)))
    return r, g, b


def greyish(rng: Rng, low: float, high: float) -> Colour:
    """A nearly grey albedo between low and high."""
    v = rng.uniform(low, high)
    return v * rng.uniform(0.94, 1.0), v * rng.uniform(0.94, 1.0), v * rng.uniform(0.9, 1.0)


def plastic(rng: Rng, tint: Colour | None = None) -> Material:
    """Slightly glossy plain stuff."""
    return Material("plain", tint or (colour(rng) if rng.random() < 0.4 else greyish(rng, 0.02, 0.7)), 0.5, gloss=0.35)


def picture(rng: Rng, kind: str, tint: Colour = (0.9, 0.9, 0.9), gloss: float = 0.1, glow: float = 0.0) -> Material:
    """A drawn picture that covers its patch once."""
    return Material(pick(rng, kind), tint, 0.0, gloss, glow)


def monitor(b: SceneBuilder, rng: Rng) -> None:
    """A flat screen on a foot, turned and tilted a little."""
    w = rng.uniform(0.36, 0.62)
    h = w * rng.choice([0.58, 0.62, 0.76])
    shell = plastic(rng, greyish(rng, 0.008, 0.04) if rng.random() < 0.7 else greyish(rng, 0.25, 0.6))
    lift = rng.uniform(0.07, 0.14)
    b.cylinder((0, 0, 0.001), rng.uniform(0.09, 0.13), 0.015, shell, 24)
    b.box((0, 0.015, lift / 2 + 0.03), (0.06, 0.03, lift + 0.06), shell)
    off = rng.random() < 0.5
    kind = "dark_screen" if off else str(rng.choice(["code_screen", "desktop_screen", "web_screen"]))
    with b.at((0, -0.02, lift + h / 2), roll=rng.uniform(-0.18, 0.03)):
        b.box((0, 0, 0), (w, 0.035, h), shell)
        m = rng.uniform(0.012, 0.025)
        screen = picture(
            rng, kind, (0.5, 0.5, 0.5) if off else (0.08, 0.08, 0.08), 0.5, 0.0 if off else rng.uniform(0.6, 1.3)
        )
        b.quad((-w / 2 + m, -0.0185, h / 2 - m), (w - 2 * m, 0, 0), (0, 0, -h + 2 * m), screen)


def keyboard(b: SceneBuilder, rng: Rng) -> None:
    """A 45 cm wide keyboard."""
    light = rng.random() < 0.55
    keys = picture(
        rng, "light_keyboard" if light else "dark_keyboard", greyish(rng, 0.6, 0.9) if light else (0.8, 0.8, 0.8), 0.15
    )
    d = rng.uniform(0.13, 0.18)
    with b.at((0, 0, 0.003), roll=rng.uniform(0.02, 0.07)):
        b.box(
            (0, 0, 0.013),
            (rng.uniform(0.4, 0.48), d, 0.02),
            plastic(rng, (0.6, 0.6, 0.57) if light else (0.03, 0.03, 0.03)),
            top=keys,
        )


def mouse(b: SceneBuilder, rng: Rng) -> None:
    """A mouse with or without a mat."""
    if rng.random() < 0.4:
        b.box((0, 0, 0.002), (0.22, 0.19, 0.003), Material("fabric", colour(rng), 0.1), solid=False)
    b.ball((0, 0, 0.012), 0.036, plastic(rng), 0.5)


def papers(b: SceneBuilder, rng: Rng) -> None:
    """One to five sheets, each turned a little more."""
    for k in range(rng.integers(1, 6)):
        with b.at((*rng.normal(0, 0.03, 2), 0.001 + 0.0012 * k), rng.normal(0, 0.25)):
            b.quad((-0.105, 0.148, 0), (0.21, 0, 0), (0, -0.297, 0), picture(rng, "paper"))


def folder(b: SceneBuilder, rng: Rng) -> None:
    """A folder, an envelope or a pad."""
    w, d = rng.uniform(0.16, 0.26), rng.uniform(0.2, 0.34)
    brown = rng.random() < 0.5
    card = Material("cardboard", (0.6, 0.42, 0.2) if brown else colour(rng), 0.4)
    b.box((0, 0, 0.003), (w, d, 0.004), card, solid=False, top=None if rng.random() < 0.6 else picture(rng, "paper"))


def gamepad(b: SceneBuilder, rng: Rng) -> None:
    """Some palm-sized device of rounded parts with a cord."""
    body = plastic(rng)
    for x in (-0.045, 0.045):
        b.ball((x, 0, 0.022), 0.04, body, 0.5)
    b.box((0, 0.01, 0.022), (0.09, 0.05, 0.03), body, top=picture(rng, "cover"))
    b.tube(
        [(0, 0.03, 0.02), (0.02, 0.09, 0.006), (0.09, 0.14, 0.004), (0.12, 0.24, 0.004)],
        0.003,
        plastic(rng, (0.02, 0.02, 0.02)),
        5,
    )


def adapter(b: SceneBuilder, rng: Rng) -> None:
    """A power supply, a stapler, a tape or a tin: something small."""
    w, d, h = rng.uniform(0.03, 0.11, 3) * (1, 1, 0.6)
    b.box((0, 0, h / 2 + 0.001), (w, d, h), plastic(rng))


def book(b: SceneBuilder, rng: Rng) -> None:
    """A lying book with a cover."""
    w, d, h = rng.uniform(0.13, 0.22), rng.uniform(0.19, 0.3), rng.uniform(0.008, 0.05)
    tint = colour(rng, (0, 0.3), (0.75, 1))
    b.box(
        (0, 0, h / 2 + 0.001),
        (w, d, h),
        Material("plain", (0.75, 0.72, 0.65), 0.2),
        top=picture(rng, "cover", tint, 0.3),
    )
    spine = Material(pick(rng, "spine"), colour(rng), 0.0, 0.2)
    b.quad((-w / 2 - 0.001, d / 2, h + 0.001), (0, -d, 0), (0, 0, -h), spine)


def book_stack(b: SceneBuilder, rng: Rng) -> None:
    """Several books on one another."""
    z = 0.0
    for _ in range(rng.integers(2, 6)):
        h = rng.uniform(0.012, 0.045)
        with b.at((*rng.normal(0, 0.012, 2), z), rng.normal(0, 0.15)):
            b.box(
                (0, 0, h / 2 + 0.001),
                (rng.uniform(0.14, 0.22), rng.uniform(0.2, 0.3), h),
                plastic(rng, colour(rng)),
                front=Material(pick(rng, "spine"), colour(rng), 0.0, 0.2, turned=True),
                top=picture(rng, "cover", gloss=0.3),
            )
        z += h + 0.001


def cup(b: SceneBuilder, rng: Rng) -> None:
    """A mug, a paper cup or a glass-like beaker."""
    r, h = rng.uniform(0.032, 0.045), rng.uniform(0.07, 0.12)
    ceramic = Material("plain", colour(rng) if rng.random() < 0.5 else greyish(rng, 0.5, 0.85), 0.3, 0.5)
    foot = r * rng.choice([0.72, 0.95])
    coffee = h * rng.uniform(0.3, 0.8)
    b.lathe([(0, 0.001), (foot, 0.001), (r, h), (r - 0.004, h), (r - 0.006, coffee)], ceramic)
    b.lathe([(r - 0.006, coffee), (0, coffee)], Material("plain", (0.05, 0.025, 0.01), 0.3, 0.6))
    if foot > 0.8 * r:
        a = np.linspace(-1.5, 1.5, 9)
        b.tube(np.c_[r - 0.004 + 0.028 * np.cos(a), 0 * a, h * 0.5 + 0.3 * h * np.sin(a)], 0.005, ceramic)


def bottle(b: SceneBuilder, rng: Rng) -> None:
    """A bottle or a can."""
    r, h = rng.uniform(0.03, 0.042), rng.uniform(0.11, 0.28)
    body = Material(pick(rng, "package"), colour(rng, (0, 0.6), (0.6, 1)), 0.0, 0.5)
    b.lathe([(r, 0.001), (r, 0.7 * h)], body)
    neck = plastic(rng)
    b.lathe([(r, 0.7 * h), (0.35 * r, 0.88 * h), (0.35 * r, h), (0, h)], neck)


def pencil_cup(b: SceneBuilder, rng: Rng) -> None:
    """A beaker with pens."""
    b.lathe([(0, 0.001), (0.038, 0.001), (0.04, 0.1), (0.037, 0.1), (0.035, 0.01), (0, 0.01)], plastic(rng))
    for _ in range(rng.integers(3, 9)):
        angle, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
        tip = np.array([np.cos(angle) * lean, np.sin(angle) * lean, 1.0]) * rng.uniform(0.13, 0.17)
        b.tube([[0, 0, 0.012], *np.outer((0.5, 1.0), tip)], 0.0045, plastic(rng, colour(rng)))


def package(b: SceneBuilder, rng: Rng) -> None:
    """A carton: milk, cereals, tissues, a device's box."""
    w, d, h = rng.uniform(0.06, 0.22), rng.uniform(0.05, 0.16), rng.uniform(0.05, 0.26)
    side = picture(rng, "package", colour(rng, (0, 0.3), (0.75, 1)), 0.2)
    b.box((0, 0, h / 2 + 0.001), (w, d, h), side, front=picture(rng, "package"), top=picture(rng, "cover"))


def phone(b: SceneBuilder, rng: Rng) -> None:
    """A desk telephone with its handset and cord."""
    body = plastic(rng, greyish(rng, 0.02, 0.6))
    with b.at((0, 0, 0.002), roll=0.15):
        b.box((0, 0, 0.025), (0.18, 0.2, 0.03), body, top=picture(rng, "dark_keyboard", (0.7, 0.7, 0.7), 0.2))
        b.tube([[-0.06, -0.1, 0.055], [-0.06, -0.08, 0.065], [-0.06, 0.08, 0.065], [-0.06, 0.1, 0.055]], 0.02, body, 8)


def cable(b: SceneBuilder, rng: Rng) -> None:
    """A cord that lies in loops."""
    knots = np.cumsum(rng.normal(0, 0.09, (6, 2)), 0)
    t = np.linspace(0, 5, 31)
    path = np.stack([np.interp(t, np.arange(6), k) for k in (knots - knots.mean(0)).T], 1)
    kernel = np.hanning(11) / np.hanning(11).sum()
    path = np.stack([np.convolve(np.pad(p, 5, mode="edge"), kernel, "valid") for p in path.T], 1)
    r = rng.uniform(0.002, 0.004)
    b.tube(np.c_[path, np.full(len(path), r + 0.001)], r, plastic(rng, greyish(rng, 0.01, 0.5)), 5)


def speaker(b: SceneBuilder, rng: Rng) -> None:
    """A small loudspeaker or a hard disk standing up."""
    w, h = rng.uniform(0.08, 0.13), rng.uniform(0.15, 0.24)
    b.box(
        (0, 0, h / 2 + 0.001),
        (w, 0.12, h),
        plastic(rng, greyish(rng, 0.01, 0.3)),
        front=Material("carpet", greyish(rng, 0.02, 0.1), 0.05),
    )


def laptop(b: SceneBuilder, rng: Rng) -> None:
    """An open laptop."""
    w, d = rng.uniform(0.29, 0.38), rng.uniform(0.2, 0.26)
    shell = plastic(rng, greyish(rng, 0.02, 0.5))
    b.box((0, 0, 0.012), (w, d, 0.018), shell, top=picture(rng, "dark_keyboard", (0.9, 0.9, 0.9), 0.2))
    with b.at((0, d / 2, 0.022), roll=-rng.uniform(0.1, 0.5)):
        b.box((0, 0.004, d / 2), (w, 0.008, d), shell)
        kind = str(rng.choice(["code_screen", "desktop_screen", "web_screen", "dark_screen"]))
        b.quad(
            (-w / 2 + 0.01, -0.0012, d - 0.01),
            (w - 0.02, 0, 0),
            (0, 0, -d + 0.03),
            picture(rng, kind, (0.1, 0.1, 0.1), 0.4, rng.uniform(0.5, 1.1)),
        )


def desk_lamp(b: SceneBuilder, rng: Rng) -> None:
    """A jointed lamp."""
    metal = plastic(rng)
    b.cylinder((0, 0, 0.001), 0.08, 0.02, metal, 20)
    elbow, head = (0.02, 0.14, 0.28), (0.02, -0.06, 0.42)
    b.tube([(0, 0, 0.02), elbow], 0.008, metal)
    b.tube([elbow, head], 0.007, metal)
    with b.at(head, pitch=0.0, roll=-0.4):
        b.lathe([(0.065, -0.08), (0.02, 0.02), (0, 0.02)], metal)
        b.lathe([(0, -0.03), (0.03, -0.05), (0.06, -0.079)], Material("plain", (0.8, 0.8, 0.75), 0.3))


def plant(b: SceneBuilder, rng: Rng) -> None:
    """A pot with leaves, small."""
    potted(b, rng, rng.uniform(0.12, 0.25))


def potted(b: SceneBuilder, rng: Rng, height: float) -> None:
    """A pot with long leaves; `height` of the whole in metres."""
    r = 0.22 * height + 0.02
    b.lathe(
        [(0, 0.001), (0.7 * r, 0.001), (r, 0.35 * height), (0.9 * r, 0.35 * height), (0.88 * r, 0.3 * height)],
        Material("plain", colour(rng, (0.1, 0.7), (0.4, 0.9)), 0.3, 0.2),
    )
    b.lathe([(0.88 * r, 0.3 * height), (0, 0.3 * height)], Material("carpet", (0.06, 0.04, 0.03), 0.1))
    green = colour(rng, (0.3, 0.5), (0.8, 1))
    for angle in np.arange(rng.integers(9, 17)) * 2.4:
        t = np.linspace(0, 1, 6)[:, None]
        reach, rise = rng.uniform(0.25, 0.6) * height, rng.uniform(0.35, 0.7) * height
        out, side = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
        spine = t * reach * out + np.array([0, 0, 1]) * (0.3 * height + rise * (1.7 * t - t**2 * rng.uniform(0.9, 1.5)))
        width = 0.09 * height * np.sin(np.pi * (0.08 + 0.92 * t)) + 0.002
        points = np.stack([spine - width * side, spine + width * side], 1)
        normals = np.broadcast_to(np.array([0, 0, 1.0]), points.shape)
        b.grid(points, normals, Material("leaf0", green, 0.0, 0.15))


def ball(b: SceneBuilder, rng: Rng) -> None:
    """A ball, a fruit or a toy."""
    r = rng.uniform(0.03, 0.06)
    b.ball((0, 0, r + 0.001), r, plastic(rng, colour(rng)), rng.uniform(0.8, 1.0))


def bowl(b: SceneBuilder, rng: Rng) -> None:
    """A bowl or a plate."""
    r, h = rng.uniform(0.07, 0.13), rng.uniform(0.015, 0.08)
    b.lathe(
        [(0, 0.001), (0.5 * r, 0.001), (r, h), (r - 0.004, h), (0.5 * r, 0.006), (0, 0.006)],
        Material("plain", greyish(rng, 0.4, 0.85), 0.4, 0.5),
    )


SMALL: dict[str, tuple[Draw, float]] = {  # with the radius of the place that each needs, metres
    "papers": (papers, 0.15),
    "book": (book, 0.14),
    "book_stack": (book_stack, 0.15),
    "cup": (cup, 0.06),
    "bottle": (bottle, 0.05),
    "pencil_cup": (pencil_cup, 0.06),
    "package": (package, 0.11),
    "phone": (phone, 0.13),
    "cable": (cable, 0.1),
    "speaker": (speaker, 0.09),
    "laptop": (laptop, 0.21),
    "desk_lamp": (desk_lamp, 0.11),
    "plant": (plant, 0.1),
    "ball": (ball, 0.06),
    "bowl": (bowl, 0.12),
    "mouse": (mouse, 0.06),
    "folder": (folder, 0.12),
    "gamepad": (gamepad, 0.09),
    "adapter": (adapter, 0.05),
}
OFFICE = (
    "papers",
    "papers",
    "book",
    "book",
    "book_stack",
    "cup",
    "bottle",
    "pencil_cup",
    "package",
    "package",
    "phone",
    "cable",
    "cable",
    "cable",
    "speaker",
    "laptop",
    "desk_lamp",
    "plant",
    "ball",
    "mouse",
    "folder",
    "folder",
    "gamepad",
    "adapter",
    "adapter",
    "adapter",
)
HOME = ("book", "book_stack", "cup", "bottle", "plant", "ball", "bowl", "bowl", "package", "papers", "desk_lamp")


def scatter(
    b: SceneBuilder,
    rng: Rng,
    size: tuple[float, float],
    kinds: tuple[str, ...],
    count: int,
    taken: list[tuple[float, float, float]] | None = None,
) -> None:
    """Puts up to `count` things on a surface of `size` (w, d) metres around the local origin, none through another."""
    places = list(taken or [])
    for _ in range(count):
        name = kinds[rng.integers(len(kinds))]
        draw, r = SMALL[name]
        free = np.array(size) / 2 - 0.8 * r
        if (free < 0).any():
            continue
        for _ in range(12):
            x, y = rng.uniform(-free, free)
            if all(np.hypot(x - px, y - py) > 0.72 * (r + pr) for px, py, pr in places):
                with b.at((x, y, 0.0007 * len(places)), rng.normal(0, 0.5)):  # flat things must not share a plane
                    draw(b, rng)
                places.append((x, y, r))
                break


def work_place(b: SceneBuilder, rng: Rng, w: float, d: float, count: int) -> None:
    """A used desk top of w x d metres around the local origin: screens, keyboard, things all over it."""
    for k in range(rng.integers(0, 6)):
        with b.at((rng.uniform(-0.45, 0.45) * w, rng.uniform(-0.3, 0.25) * d, 0.008 * k), rng.normal(0, 0.5)):
            papers(b, rng)
    taken: list[tuple[float, float, float]] = []
    xs = (
        rng.uniform(-0.15, 0.15, 1)
        if w < 1.5 or rng.random() < 0.5
        else np.array([-0.33, 0.33]) + rng.normal(0, 0.05, 2)
    )
    for x in xs + rng.uniform(-0.1, 0.1) * w:
        with b.at((x, d / 2 - rng.uniform(0.12, 0.25), 0), rng.normal(0, 0.2)):
            monitor(b, rng)
        taken += [(x, d / 2 - 0.15, 0.16), (x - 0.16, d / 2 - 0.15, 0.1), (x + 0.16, d / 2 - 0.15, 0.1)]
    x = float(xs[0]) + rng.normal(0, 0.06)
    with b.at((x, -d / 2 + rng.uniform(0.16, 0.28), 0), rng.normal(0, 0.12)):
        keyboard(b, rng)
        with b.at((0.33, 0.0, 0), rng.normal(0, 0.3)):
            mouse(b, rng)
    taken += [(x - 0.13, -d / 2 + 0.2, 0.12), (x + 0.13, -d / 2 + 0.2, 0.12), (x + 0.33, -d / 2 + 0.2, 0.08)]
    scatter(b, rng, (w, d), OFFICE, count, taken)
