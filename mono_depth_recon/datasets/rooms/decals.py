"""Drawn pictures for the synthetic rooms: screens, keyboards, papers, covers, posters, views from the window."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .noise import F32, Rng, fractal, grey

_N = 256


def hsv(h: float, s: float, v: float) -> F32:
    """One colour (3,) float32."""
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v), np.float32)


def _canvas(colour: ArrayLike, n: int = _N) -> F32:
    return np.tile(np.asarray(colour, np.float32), (n, n, 1))


def _rect(image: F32, x0: float, y0: float, x1: float, y1: float, colour: F32 | float) -> None:
    """Fills a rectangle given in fractions of the image."""
    n = len(image)
    image[int(y0 * n) : max(int(y1 * n), int(y0 * n) + 1), int(x0 * n) : max(int(x1 * n), int(x0 * n) + 1)] = colour


def _text(image: F32, rng: Rng, x0: float, y0: float, x1: float, y1: float, line: float, ink: F32 | float) -> None:
    """Lines of word-like marks within a rectangle given in fractions; `line` is the line height."""
    n = len(image)
    for y in np.arange(y0, y1 - line, line):
        x = x0 + (0.04 if rng.random() < 0.15 else 0.0)
        end = x1 if rng.random() < 0.75 else rng.uniform(x0 + 0.2 * (x1 - x0), x1)
        while x < end:
            w = rng.uniform(0.5, 2.5) * line
            a, b = int(x * n), int(min(x + w, end) * n)
            h = max(1, int(0.5 * line * n))
            strokes = rng.random((h, max(b - a, 0))) < 0.62
            image[int(y * n) : int(y * n) + h, a:b][strokes] = ink
            x += w + 0.4 * line


def _paper(rng: Rng) -> F32:
    image = _canvas((0.97, 0.97, 0.96))
    _text(image, rng, 0.14, 0.08, rng.uniform(0.4, 0.8), 0.14, 0.035, 0.2)
    y = 0.18
    while y < 0.85:
        height = rng.uniform(0.08, 0.3)
        if rng.random() < 0.75:
            _text(image, rng, 0.12, y, 0.88, min(y + height, 0.92), 0.022, 0.35)
        else:
            _figure(image, rng, 0.2, y, 0.8, min(y + height, 0.9))
        y += height + 0.04
    return image


def _figure(image: F32, rng: Rng, x0: float, y0: float, x1: float, y1: float) -> None:
    """A small photograph-like patch."""
    n = len(image)
    rows, cols = slice(int(y0 * n), int(y1 * n)), slice(int(x0 * n), int(x1 * n))
    a, b = hsv(rng.random(), 0.7, 0.9), hsv(rng.random(), 0.6, 0.3)
    mix = np.clip(0.5 + 0.9 * fractal(rng, n, 1.9), 0, 1)[rows, cols, None]
    image[rows, cols] = mix * a + (1 - mix) * b


def _code_screen(rng: Rng) -> F32:
    image = _canvas((0.1, 0.11, 0.13))
    _rect(image, 0, 0, 1, 0.05, hsv(0.6, 0.2, 0.3))
    _rect(image, 0, 0.05, 0.18, 1, hsv(0.6, 0.1, 0.17))
    for hue in rng.uniform(0, 1, 5):
        _text(
            image,
            rng,
            0.22 + rng.uniform(0, 0.1),
            rng.uniform(0.07, 0.5),
            rng.uniform(0.5, 0.95),
            0.96,
            0.03,
            hsv(hue, 0.5, 0.8),
        )
    return image


def _desktop_screen(rng: Rng) -> F32:
    image = _canvas((0, 0, 0))
    _figure(image, rng, 0, 0, 1, 1)
    for _ in range(2):
        x, y = rng.uniform(0.03, 0.4, 2)
        w, h = rng.uniform(0.3, 0.55, 2)
        _rect(image, x, y, x + w, y + h, 0.95)
        _rect(image, x, y, x + w, y + 0.04, hsv(rng.random(), 0.4, 0.6))
        _text(image, rng, x + 0.02, y + 0.07, x + w - 0.02, y + h - 0.02, 0.028, 0.3)
    _rect(image, 0, 0.95, 1, 1, hsv(0.6, 0.3, 0.15))
    return image


def _web_screen(rng: Rng) -> F32:
    image = _canvas((0.96, 0.97, 0.98))
    _rect(image, 0, 0, 1, 0.07, hsv(rng.random(), 0.5, 0.5))
    _figure(image, rng, 0.08, 0.14, 0.92, 0.45)
    _text(image, rng, 0.08, 0.5, 0.6, 0.95, 0.03, 0.3)
    _figure(image, rng, 0.66, 0.52, 0.92, 0.8)
    return image


def _dark_screen(rng: Rng) -> F32:
    return grey(0.13 + 0.01 * fractal(rng, _N, 2.0))


def _keyboard(rng: Rng, body: float, key: float) -> F32:
    image = grey(body + 0.015 * fractal(rng, _N, 1.0))
    rows = np.linspace(0.2, 0.92, 6)
    for r, y in enumerate(rows[:-1]):
        columns = np.linspace(0.03, 0.74, 15)
        if r == 4:
            columns = np.array([0.03, 0.09, 0.15, 0.21, 0.5, 0.56, 0.62, 0.68, 0.74])
        left, right = np.r_[columns[:-1], 0.79, 0.84, 0.89], np.r_[columns[1:], 0.835, 0.885, 0.935]
        for a, b in zip(left, right, strict=True):
            _key(image, a, y, b, y + 0.144, key + rng.uniform(-0.02, 0.02), body)
    return image


def _key(image: F32, x0: float, y0: float, x1: float, y1: float, key: float, body: float) -> None:
    _rect(image, x0, y0, x1, y1, body * 0.6)
    _rect(image, x0 + 0.004, y0 + 0.008, x1 - 0.006, y1 - 0.02, key)
    _rect(image, x0 + 0.012, y0 + 0.035, x0 + 0.022, y0 + 0.07, 0.25 if key > 0.5 else 0.8)


def _light_keyboard(rng: Rng) -> F32:
    return _keyboard(rng, 0.84, 0.93)


def _dark_keyboard(rng: Rng) -> F32:
    return _keyboard(rng, 0.2, 0.27)


def _cover(rng: Rng) -> F32:
    hue = rng.random()
    image = _canvas(hsv(hue, rng.uniform(0.1, 0.9), rng.uniform(0.4, 0.95)))
    if rng.random() < 0.6:
        _figure(image, rng, rng.uniform(0, 0.2), 0.35, rng.uniform(0.75, 1.0), rng.uniform(0.7, 0.95))
    else:
        _rect(image, 0, rng.uniform(0.4, 0.6), 1, rng.uniform(0.62, 0.9), hsv(hue + rng.uniform(0.2, 0.6), 0.7, 0.8))
    ink = 0.98 if image[:60].mean() < 0.65 else 0.1
    _text(image, rng, 0.1, 0.08, 0.9, 0.3, rng.uniform(0.06, 0.11), ink)
    _text(image, rng, 0.1, 0.91, 0.7, 0.98, 0.04, ink)
    return image


def _spine(rng: Rng) -> F32:
    image = _canvas((0.92, 0.92, 0.92))
    _rect(image, 0, 0.05, 1, 0.07, 0.6)
    _rect(image, 0.2, 0.2, 0.8, 0.7, 0.75)
    _text(image, rng, 0.25, 0.2, 0.75, 0.72, 0.06, 0.15)
    _rect(image, 0.0, rng.uniform(0.78, 0.85), 1, 0.9, 0.5)
    return image


def _package(rng: Rng) -> F32:
    image = _cover(rng)
    _rect(image, 0.05, 0.75, 0.45, 0.97, 0.97)
    _text(image, rng, 0.07, 0.77, 0.43, 0.96, 0.03, 0.2)
    return image


def _poster(rng: Rng) -> F32:
    image = _canvas((0.95, 0.95, 0.93))
    a, b, c = (hsv(rng.random(), rng.uniform(0.3, 0.8), v) for v in (0.9, 0.5, 0.25))
    field = fractal(rng, _N, 2.1)
    y = np.linspace(-0.5, 0.5, _N)[:, None]
    picture = np.where((field < y)[..., None], a, b)
    picture = np.where((fractal(rng, _N, 1.9) > 0.45)[..., None], c, picture)
    image[18:-18, 18:-18] = picture[18:-18, 18:-18]
    return image


def _view(rng: Rng) -> F32:
    """Sky, far trees or houses, out of focus."""
    y = np.linspace(0, 1, _N)[:, None, None]
    sky = (1 - y) * hsv(0.58, 0.35, 1.0) + y * np.array((1.0, 0.98, 0.95), np.float32)
    sky = sky + 0.25 * np.clip(fractal(rng, _N, 2.0), 0, 1)[..., None]
    skyline = 0.6 + 0.12 * fractal(rng, _N, 1.5)[:1].repeat(_N, 0)
    trees = (0.55 + 0.3 * fractal(rng, _N, 1.2))[..., None] * hsv(rng.uniform(0.2, 0.35), 0.45, 0.75)
    image: F32 = np.where(y > skyline[..., None], trees, sky).astype(np.float32)
    if rng.random() < 0.6:
        x = rng.uniform(0, 0.6)
        _rect(image, x, 0.35, x + 0.35, 1.0, hsv(0.07, 0.2, 0.75))
        for i in range(9):
            _rect(
                image,
                x + 0.04 + 0.1 * (i % 3),
                0.4 + 0.18 * (i // 3),
                x + 0.1 + 0.1 * (i % 3),
                0.5 + 0.18 * (i // 3),
                0.4,
            )
    return np.clip(image, 0, 1).astype(np.float32)


def _rug(rng: Rng) -> F32:
    y, x = np.mgrid[:_N, :_N] / _N - 0.5
    d = np.maximum(abs(x), abs(y)) * 2
    image = _canvas(hsv(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.8)))
    band, mark = hsv(rng.random(), 0.5, 0.75), hsv(rng.random(), 0.3, 0.9)
    image[(d > 0.8) & (d < 0.92)] = band
    image[((np.sin(x * 50) * np.sin(y * 50)) > 0.5) & (d < 0.75)] = mark
    return np.clip(image * (1 + 0.2 * fractal(rng, _N, 0.3))[..., None], 0, 1).astype(np.float32)


def _leaf(rng: Rng) -> F32:
    x = np.abs(np.linspace(-1, 1, _N))[None, :]
    image = grey(0.8 - 0.2 * (x < 0.04) + 0.15 * fractal(rng, _N, 1.5)) * hsv(0.28, 0.6, 0.8)
    return image.astype(np.float32)


COUNTS: dict[str, tuple[Callable[[Rng], F32], int]] = {
    "paper": (_paper, 5),
    "code_screen": (_code_screen, 2),
    "desktop_screen": (_desktop_screen, 3),
    "web_screen": (_web_screen, 2),
    "dark_screen": (_dark_screen, 1),
    "light_keyboard": (_light_keyboard, 1),
    "dark_keyboard": (_dark_keyboard, 1),
    "cover": (_cover, 16),
    "spine": (_spine, 4),
    "package": (_package, 6),
    "poster": (_poster, 10),
    "view": (_view, 4),
    "rug": (_rug, 5),
    "leaf": (_leaf, 1),
}


def all_decals() -> dict[str, F32]:
    """Every picture by name, `kind` and a number: (256, 256, 3) float32 within 0 to 1."""
    return {
        f"{kind}{i}": make(np.random.default_rng((2, k, i)))
        for k, (kind, (make, count)) in enumerate(COUNTS.items())
        for i in range(count)
    }


def pick(rng: Rng, kind: str) -> str:
    """The name of a random picture of that kind."""
    return f"{kind}{rng.integers(COUNTS[kind][1])}"
